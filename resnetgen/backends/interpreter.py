"""Interpreter of a graph: the formulas of its ops, node by node in float64. It shares nothing with any format."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from resnetgen.errors import Code, LimitError
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import Float64
from resnetgen.weights.draw import Drawing, keys
from resnetgen.weights.source import Array, Key, WeightSource


class Interpreter:
    """A graph with its weights, which are kept, so that it can be run any number of times."""

    def __init__(self, graph: Graph, weights: WeightSource) -> None:
        """Draw the weights. Raises Failure if one is missing."""
        self.graph = graph
        self._weights: dict[Key, Array] = {key: values for key, values, _ in Drawing(weights, keys(graph))}

    def run(
        self,
        data: Mapping[str, npt.NDArray[Any]],
        asked: Collection[str] | None = None,
        dtype: npt.DTypeLike = np.float64,
    ) -> dict[str, npt.NDArray[Any]]:
        """Return the tensors of the nodes that are `asked` for, or of all, by node in the order of computation.

        `data`: a batch of images for each input, by node. After its last use a tensor is freed, or rounded to `dtype`.
        Overflow and division by zero give Inf and NaN. Raises LimitError if memory does not suffice.
        """
        kept = {node.name for node in self.graph.nodes} if asked is None else {*asked}
        left = {name: len(nodes) for name, nodes in self.graph.consumers.items()}
        values: dict[str, Float64] = {}
        results: dict[str, npt.NDArray[Any]] = {}
        try:
            with np.errstate(all="ignore"):
                for node in self.graph.nodes:
                    inputs = [values[name] for name in node.inputs] or [data[node.name].astype(np.float64)]
                    values[node.name] = node.op.compute(*inputs, **self._own(node))
                    for name in {*node.inputs}:
                        left[name] -= 1
                    for name in dict.fromkeys((*node.inputs, node.name)):
                        if not left[name] and name in kept:
                            results[name] = values[name].astype(dtype, copy=False)
                        if not left[name]:
                            del values[name]
        except MemoryError as error:
            message = f"there is not enough memory for the reference: {error}"
            raise LimitError.of(Code.LIMIT, message, hint="fewer images at once: --batch") from None
        return {node.name: results[node.name] for node in self.graph.nodes if node.name in kept}

    def _own(self, node: Node) -> dict[str, Float64]:
        """Return the weights of a node, by parameter."""
        return {p.name: self._weights[node.name, p.name].astype(np.float64) for p in self.graph.parameters(node)}


def version() -> str:
    return f"numpy {np.__version__}"
