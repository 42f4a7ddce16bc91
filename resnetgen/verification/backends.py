"""Backends of a comparison, its backends: each runs the same images, on another engine or from another file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from msgspec import Struct, field

from resnetgen.backends import interpreter, onnx_evaluator, onnxruntime, opencv
from resnetgen.backends.interpreter import Interpreter
from resnetgen.backends.onnxruntime import CUDA, FLOATS, Device, Provider, Session
from resnetgen.formats.onnx.lower import Names, output_names
from resnetgen.formats.onnx.write import MAX_PROTOBUF
from resnetgen.inputs import read_bytes
from resnetgen.ir.ops import BatchNorm
from resnetgen.verification import models, npy
from resnetgen.verification.caffe import CaffeModel
from resnetgen.verification.input_images import InputFormat, Part
from resnetgen.verification.outputs import Values, require_numbers, with_batch
from resnetgen.verification.settings import TOLERANCE, TOLERANCES
from resnetgen.verification.target import Expected


class BackendInfo(Struct, frozen=True):
    """Properties of a backend for the report."""

    name: str
    """Name in the syntax of --on."""
    file: str
    """File or network that ran."""
    engine: str
    ran_on: str
    batch: int | None
    """Fixed batch size; None if it is dynamic."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Node, as the engine executed it -> its provider."""
    notes: tuple[str, ...] = ()
    not_compared: int = 0
    """Number of inner tensors that were skipped: not floats, or without the batch axis."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "file": self.file,
            "engine": self.engine,
            "ran_on": self.ran_on,
            "batch": self.batch,
            "nodes": dict(self.nodes),
            "notes": list(self.notes),
            "not_compared": self.not_compared,
        }


class Backend(Protocol):
    name: str

    @property
    def format(self) -> InputFormat | None:
        """Input format of an image; None for any."""
        ...

    @property
    def batch(self) -> int | None:
        """Fixed batch size; None if it is dynamic."""
        ...

    @property
    def tolerance(self) -> float:
        """Default tolerance for the backend's precision."""
        ...

    @property
    def folds(self) -> bool:
        """True if a missing norm may have been folded into the layer before it."""
        ...

    @property
    def norms(self) -> Mapping[str, str]:
        """Input of a norm -> the norm."""
        ...

    @property
    def places(self) -> Mapping[str, str]:
        """Tensor -> its line in the spec or in the prototxt."""
        ...

    def run(self, part: Part, inner: bool) -> Values: ...

    def info(self) -> BackendInfo:
        """Return the properties; call it after a run."""
        ...


class OnnxBackend:
    """Backend that runs a model on ONNX Runtime."""

    folds = True

    def __init__(self, name: str, path: Path, device: Device) -> None:
        self.name = name
        self.path = path
        self.device = device
        self.proto = models.read_model(path)
        self.session = Session(path, device)
        source = self.session.input
        if self.session.more_inputs:
            raise models.bad(path, f"it has {1 + len(self.session.more_inputs)} inputs; verify knows networks of one")
        self.batch, self.format = models.image_format(path, source.type, source.shape)
        self.session.require_numbers(self.session.outputs)
        self.norms = _norms(self.proto)
        self.places = _places(self.proto)
        metadata = {entry.key: entry.value for entry in self.proto.metadata_props}
        self.tolerance = TOLERANCES.get(metadata.get("resnetgen.precision", ""), TOLERANCE)
        self.is_quantised = any(node.op_type == "QuantizeLinear" for node in self.proto.graph.node)
        self._inner: Session | None = None
        self._not_compared = 0

    def run(self, part: Part, inner: bool) -> Values:
        outputs = self.session.run(part.data)
        # a quantised range that ends at 0 is a ReLU: inner tensors have another meaning
        if not inner or self.is_quantised:
            return Values(outputs)
        if self._inner is None:
            self._inner = self._with_inner_tensors()
        # Types are checked before the run: values of some types would crash the process.
        inside = [value for value in self._inner.given if value.name not in outputs]
        floats = [value.name for value in inside if value.type in FLOATS]
        inner_values = with_batch(self._inner.run(part.data, floats), len(part.data))
        self._not_compared = len(inside) - len(inner_values)
        return Values(outputs, inner_values)

    def _with_inner_tensors(self) -> Session:
        """Load a copy in memory in which every tensor is an output; external weights stay in their file.

        Serialised messages merge when they are concatenated, so the additional outputs are simply appended.
        """
        more = onnx.ModelProto()
        names = (name for node in self.proto.graph.node for name in node.output)
        more.graph.output.extend(
            onnx.ValueInfoProto(name=name) for name in names if name and name not in self.session.outputs
        )
        provider = Provider.AUTO if self.device.provider is Provider.CUDA else self.device.provider
        device = Device(provider, self.device.options)
        data = read_bytes(self.path, MAX_PROTOBUF, "an ONNX model")
        return Session(data + more.SerializeToString(), device, self.path.parent)

    def info(self) -> BackendInfo:
        nodes = self.session.nodes
        notes = (f"TF32 {'on' if self.device.tf32 else 'off'}",) if CUDA in nodes.values() else ()
        ran_on, batch = self.session.summary, self.batch
        return BackendInfo(
            self.name, self.path.name, onnxruntime.version(), ran_on, batch, nodes, notes, self._not_compared
        )


class ReferenceBackend:
    """Backend that computes a spec's network by the formulas of its ops: float64, no norm folded, no format between.

    Its output is called as in the ONNX model of a build.
    """

    folds = True
    tolerance = TOLERANCE
    batch = None

    def __init__(self, name: str, network: Expected) -> None:
        """Draw or read the network's weights. Raises Failure if they are missing."""
        self.name = name
        self.graph = graph = network.graph
        self.interpreter = Interpreter(graph, network.weights)
        self.format = InputFormat(graph.shapes[graph.input.name], np.dtype(np.float32))
        outputs = output_names(graph, Names())
        self._called = {node.name: outputs.get(node.name, node.name) for node in graph.nodes}
        self.norms = {
            self._called[node.inputs[0]]: self._called[node.name]
            for node in graph.nodes
            if isinstance(node.op, BatchNorm)
        }
        self.places = {self._called[node]: place for node, place in network.places.items()}

    def run(self, part: Part, inner: bool) -> Values:
        graph = self.graph
        asked = [node.name for node in graph.nodes if node.name not in graph.inputs] if inner else graph.outputs
        # A value beyond float32 becomes Inf, as in the other backends.
        values = self.interpreter.run({graph.input.name: part.data}, asked, np.float32)
        outputs = {self._called[node]: values.pop(node) for node in graph.outputs}
        return Values(outputs, values)

    def info(self) -> BackendInfo:
        what = f"spec {self.graph.name}, unfolded, by the formulas of its ops"
        return BackendInfo(self.name, what, interpreter.version(), "float64", self.batch)


class EvaluatorBackend:
    """Backend that runs a model on onnx's reference evaluator: numpy, node by node, with all tensors at once."""

    folds = True
    tolerance = TOLERANCE

    def __init__(self, name: str, proto: onnx.ModelProto, what: str) -> None:
        self.name = name
        self.proto = proto
        self.what = what
        self._input, kind, shape = models.graph_input(proto, what)
        self.batch, self.format = models.image_format(what, kind, shape)
        self._not_compared = 0
        self.norms = _norms(proto)
        self.places = _places(proto)

    @classmethod
    def of_file(cls, name: str, path: Path) -> EvaluatorBackend:
        """Load the model of a file, from any source. Raises ModelError if it cannot be read."""
        proto = models.read_model(path)
        models.load_external(proto, path)
        return cls(name, proto, "the same file on onnx's reference evaluator")

    def run(self, part: Part, inner: bool) -> Values:
        graph = self.proto.graph
        tensors = onnx_evaluator.run_model(self.proto, {self._input: part.data})
        outputs = require_numbers(self.what, {value.name: tensors.get(value.name) for value in graph.output})
        if not inner:
            return Values(outputs)
        names = (name for node in graph.node for name in node.output if name and name not in outputs)
        inside = {name: tensors.get(name) for name in names}
        values = with_batch(inside, len(part.data))
        self._not_compared = len(inside) - len(values)
        return Values(outputs, values)

    def info(self) -> BackendInfo:
        numpy = f"numpy {np.__version__}"
        return BackendInfo(
            self.name, self.what, onnx_evaluator.version(), numpy, self.batch, not_compared=self._not_compared
        )


class CaffeBackend:
    """Backend that runs a prototxt and its caffemodel on OpenCV, which fuses no layer whose output is requested."""

    folds = False
    tolerance = TOLERANCE

    def __init__(self, name: str, files: CaffeModel) -> None:
        self.name = name
        self.files = files
        self.batch: int | None = files.dims[0]
        self.format = InputFormat(files.dims[1:], np.dtype(np.float32))
        self.places, self.norms = files.places, files.norms
        self.net = opencv.OpenCvNet(files.text, files.read_caffemodel())
        self._not_compared = 0

    def run(self, part: Part, inner: bool) -> Values:
        outputs = self.net.run(part.data)
        layers = [layer for layer in self.files.readable if layer not in outputs] if inner else []
        values = self.net.run_layers(part.data, layers)
        called = self.files.called
        inside = with_batch({called.get(layer, layer): value for layer, value in values.items()}, len(part.data))
        self._not_compared = len(values) - len(inside)
        return Values({called.get(layer, layer): value for layer, value in outputs.items()}, inside)

    def info(self) -> BackendInfo:
        where = f"its CPU backend, float32, fusion on ({self.files.layers} layers)"
        shown, notes, passed_over = self.files.shown, self.files.notes, self._not_compared
        return BackendInfo(self.name, shown, opencv.version(), where, self.batch, notes=notes, not_compared=passed_over)


class SavedOutputs:
    """Backend with the saved outputs of another run."""

    folds = False
    tolerance = TOLERANCE
    format = None
    batch = None

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.outputs = npy.load(path)
        digest = self.outputs.pop(SAVED_INPUT, None)
        require_numbers(str(path), self.outputs)
        self.input = "" if digest is None else digest.tobytes().hex()
        """Digest of the images; empty if the file has none."""
        self.norms: dict[str, str] = {}
        self.places: dict[str, str] = {}

    def run(self, part: Part, inner: bool) -> Values:
        last = part.first + len(part.data)
        short = [name for name, values in self.outputs.items() if values.ndim < 2 or len(values) < last]
        if short or not self.outputs:
            raise npy.bad(self.path, f"it has no outputs of {last} images: {', '.join(short) or 'it is empty'}")
        return Values({name: values[part.first : last] for name, values in self.outputs.items()})

    def info(self) -> BackendInfo:
        return BackendInfo(self.name, self.path.name, "saved outputs", "as they were saved", self.batch)


SAVED_INPUT = "resnetgen.input"
"""Name of the digest of the images in a file of outputs."""


def _norms(proto: onnx.ModelProto) -> dict[str, str]:
    return {node.input[0]: node.output[0] for node in proto.graph.node if node.op_type == "BatchNormalization"}


def _places(proto: onnx.ModelProto) -> dict[str, str]:
    """Return the places of nodes in the spec. Only models of resnetgen have them; others may have any text there."""
    if proto.producer_name != "resnetgen":
        return {}
    return {name: str(node.doc_string).partition(" ")[0] for node in proto.graph.node for name in node.output}
