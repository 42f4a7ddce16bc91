"""Proof by execution: a built model on ONNX Runtime against onnx's reference evaluator, layer by layer.

The reference runs the network as the spec says it, with its norms unfolded and its weights drawn anew; so a wrong fold,
a changed weight or a wrong runtime shows, and the first layer that differs is named.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from resnetgen.errors import Code, Exit, Failure, Problem
from resnetgen.ir.graph import Graph
from resnetgen.runtimes.onnxruntime import Provider, random_input, run
from resnetgen.runtimes.reference import run_reference
from resnetgen.targets.onnx.emit import OnnxOptions, plan, write
from resnetgen.weights.source import Array, Weights

TOLERANCE = 1e-4
"""Of the largest absolute value of a layer's output. Engines order sums differently: 1e-6 to 1e-5 is usual."""


@dataclass(frozen=True)
class Layer:
    """How far one tensor is from the reference."""

    name: str
    place: str
    error: float
    """max |a - b| / max |b|; infinite where a value is not finite or the shapes differ."""


@dataclass(frozen=True)
class Report:
    model: str
    reference: str
    """What the model was held against."""
    provider: str
    """On which provider its nodes ran, and how many."""
    batch: int
    tolerance: float
    layers: tuple[Layer, ...]
    """In the order of computing; the last is the output, from the model as it is."""

    @property
    def first_difference(self) -> Layer | None:
        return next((layer for layer in self.layers if not layer.error <= self.tolerance), None)

    @property
    def passed(self) -> bool:
        return self.first_difference is None

    @property
    def largest(self) -> Layer:
        return max(self.layers, key=lambda layer: layer.error)

    def to_json(self) -> dict[str, Any]:
        first = self.first_difference
        return {
            "model": self.model,
            "reference": self.reference,
            "provider": self.provider,
            "batch": self.batch,
            "tolerance": self.tolerance,
            "passed": self.passed,
            "first_difference": first.name if first else None,
            "layers": [{"name": one.name, "place": one.place, "error": one.error} for one in self.layers],
        }

    def failure(self) -> Failure:
        """The error of a report that has not passed. Exit 7."""
        first = self.first_difference
        assert first is not None
        message = (
            f"{self.model}: the first layer that differs is {first.name} ({first.place}): "
            f"{first.error:.2e} of its largest value, the tolerance is {self.tolerance:.0e}"
        )
        hint = "the model was changed after it was built, or built from another spec, seed or --init"
        return Failure(Exit.VERIFICATION, (Problem(Code.VERIFICATION, message, None, hint),))


@dataclass(frozen=True)
class Settings:
    provider: Provider = Provider.CPU
    batch: int = 1
    seed: int = 0
    """Of the random input."""
    tolerance: float = TOLERANCE


def verify_against_spec(model: Path, graph: Graph, weights: Weights, settings: Settings) -> Report:
    """Hold a model against the unfolded network that its spec describes, with its own weights.

    Raises Failure where the model does not load, or did not run on the provider that was asked for.
    """
    with tempfile.TemporaryDirectory(prefix="resnetgen-reference-") as folder:
        path = Path(folder) / "reference.onnx"
        write(plan(graph, OnnxOptions()), weights, path)
        return _verify(model, path, f"spec {graph.name}, unfolded, on onnx's reference evaluator", settings)


def verify_alone(model: Path, settings: Settings) -> Report:
    """Hold a model against itself on the reference evaluator: shows what a runtime does, not what a build did."""
    return _verify(model, model, "the same file on onnx's reference evaluator", settings)


def _verify(model: Path, reference: Path, what: str, settings: Settings) -> Report:
    proto = onnx.load(str(model), load_external_data=False)
    source, result = proto.graph.input[0], proto.graph.output[0]
    fixed, *shape = (dim.dim_value for dim in source.type.tensor_type.shape.dim)
    data = random_input((fixed or settings.batch, *shape), settings.seed)
    oracle = onnx.load(str(reference))
    wanted = run_reference(oracle, {oracle.graph.input[0].name: data})
    found = run(model, {source.name: data}, settings.provider)
    inner = _inner_tensors(model, proto, source.name, data, settings.provider)
    places = {node.output[0]: node.doc_string.partition(" ")[0] for node in proto.graph.node}
    layers = [Layer(name, places[name], _error(inner[name], wanted[match])) for name, match in _pairs(inner, oracle)]
    error = _error(found.outputs[result.name], wanted[oracle.graph.output[0].name])
    layers.append(Layer(result.name, places[result.name], error))
    return Report(model.name, what, found.summary, data.shape[0], settings.tolerance, tuple(layers))


def _inner_tensors(
    model: Path, proto: onnx.ModelProto, source: str, data: Array, provider: Provider
) -> dict[str, Array]:
    """Every tensor inside the model: a copy in memory in which all of them are outputs.

    Serialised messages merge when they are joined, so the additional outputs are simply appended. A model whose weights
    stand beside it is too large to be copied: then only its output is compared.
    """
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in proto.graph.initializer):
        return {}
    more = onnx.ModelProto()
    more.graph.output.extend(proto.graph.value_info)
    copy = model.read_bytes() + more.SerializeToString()
    outputs = run(copy, {source: data}, Provider.AUTO if provider is Provider.CUDA else provider).outputs
    return {value.name: outputs[value.name] for value in proto.graph.value_info}


def _pairs(inner: dict[str, Array], oracle: onnx.ModelProto) -> Iterator[tuple[str, str]]:
    """Each inner tensor of the model, in the order of computing, with the reference's tensor that it must equal.

    A norm that the model lacks was folded: the convolution before it then computes what the norm did.
    """
    folded = {
        node.input[0]: node.output[0]
        for node in oracle.graph.node
        if node.op_type == "BatchNormalization" and node.output[0] not in inner
    }
    for node in oracle.graph.node:
        name = node.output[0]
        if name in inner:
            yield name, folded.get(name, name)


def _error(found: Array, wanted: Array) -> float:
    if found.shape != wanted.shape or not np.isfinite(found).all() or not np.isfinite(wanted).all():
        return float("inf")
    scale = float(np.abs(wanted).max())
    error = float(np.abs(found.astype(np.float64) - wanted).max())
    return error / scale if scale else error
