"""Fold a batch normalisation into the convolution before it.

With s = gamma / sqrt(variance + eps) for each output channel:

    weight' = weight * s        bias' = (bias - mean) * s + beta

since norm(conv(x)) = s * (weight * x + bias - mean) + beta. The convolution keeps its name and then has the output of
the norm. A convolution whose output another node reads, or which is an output of the network, is not folded, since that
output no longer exists afterwards.
Raises ModelError if finite weights become infinite or NaN, as with a negative variance.
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from resnetgen.errors import Code, Failure, ModelError, Span
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import BatchNorm, Conv
from resnetgen.weights.source import Array, WeightSource


def fold_norm(graph: Graph, weights: WeightSource) -> tuple[Graph, WeightSource]:
    folds: dict[str, Fold] = {}
    source: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        before = graph[node.inputs[0]] if node.inputs else node
        is_sole = graph.sole_consumer(before.name) is node
        if isinstance(node.op, BatchNorm) and isinstance(before.op, Conv) and is_sole:
            folds[before.name] = Fold(node.name, node.span, node.op.eps, before.op.bias)
            nodes[before.name] = replace(nodes[before.name], op=replace(before.op, bias=True))
            source[node.name] = before.name
        else:
            nodes[node.name] = replace(node, inputs=tuple(source[name] for name in node.inputs))
            source[node.name] = node.name
    outputs = tuple(source[name] for name in graph.outputs)
    return Graph(graph.name, graph.inputs, outputs, tuple(nodes.values())), Folded(weights, folds)


class Fold(Struct, frozen=True):
    norm: str
    span: Span | None
    """Place of the norm in the spec."""
    eps: float
    bias: bool
    """True if the convolution had a bias of its own."""


class Folded(Struct, frozen=True):
    """Weights of the folded graph, computed when asked for."""

    weights: WeightSource
    folds: dict[str, Fold]

    def tensor(self, node: str, parameter: str) -> Array:
        """Return a parameter. Raises ModelError if folding makes finite weights infinite or NaN."""
        fold = self.folds.get(node)
        if fold is None:
            return self.weights.tensor(node, parameter)
        faults: list[str] = []
        # The processor flags an overflow as it computes; checking every value would make a build a tenth slower.
        with np.errstate(all="call", under="ignore", call=lambda fault, _: faults.append(fault)):
            folded = self._folded(fold, node, parameter)
        if faults and not np.isfinite(folded).all() and self._are_finite(fold, node):
            raise _not_finite(fold, self.weights.tensor(fold.norm, "variance"))
        return folded

    def _are_finite(self, fold: Fold, node: str) -> bool:
        """Return True if all weights that are folded are finite; with --allow-nonfinite they need not be."""
        own = [(node, name) for name in ("weight", *(("bias",) if fold.bias else ()))]
        keys = [*own, *((fold.norm, name) for name in ("gamma", "beta", "mean", "variance"))]
        return all(np.isfinite(self.weights.tensor(*key)).all() for key in keys)

    def _folded(self, fold: Fold, node: str, parameter: str) -> Array:
        gamma, beta, mean, variance = (
            self.weights.tensor(fold.norm, name).astype(np.float64) for name in ("gamma", "beta", "mean", "variance")
        )
        scale = gamma / np.sqrt(variance + fold.eps)
        if parameter == "weight":
            weight = self.weights.tensor(node, "weight")
            weight *= scale.astype(np.float32)[:, None, None, None]
            return weight
        bias = self.weights.tensor(node, "bias") if fold.bias else np.float64(0)
        folded: Array = ((bias - mean) * scale + beta).astype(np.float32)
        return folded


def _not_finite(fold: Fold, variance: Array) -> Failure:
    if (least := float(variance.min())) + fold.eps <= 0:
        message = f"the variance of {fold.norm} goes down to {least:g}: folded into the convolution it gives no number"
    else:
        message = f"{fold.norm}, folded into the convolution before it, gives weights that float32 cannot hold"
    hint = "a training run that diverged leaves such values; --no-fold leaves the norm as it is"
    return ModelError.of(Code.BAD_MODEL, message, fold.span, hint)
