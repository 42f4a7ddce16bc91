"""Poolings of a graph that can be written in several equivalent ways."""

from __future__ import annotations

from typing import TypeAlias

from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import AvgPool, GlobalAvgPool, Pair, Pool

Window: TypeAlias = tuple[Pair, Pair, Pair]
"""Kernel, stride and padding."""


def whole_kernels(graph: Graph) -> frozenset[Pair]:
    """Return the kernels with which an average covers a whole image, like a global average."""
    kernels: set[Pair] = set()
    for node in graph.nodes:
        if isinstance(node.op, AvgPool | GlobalAvgPool):
            _, height, width = graph.input_shapes(node)[0]
            if isinstance(node.op, GlobalAvgPool) or node.op.kernel == (height, width):
                kernels.add((height, width))
    return frozenset(kernels)


def exact_windows(graph: Graph) -> frozenset[Window]:
    """Return the windows whose number is the same whether it is rounded up or down."""
    exact: dict[Window, bool] = {}
    for node in graph.nodes:
        if isinstance(node.op, Pool):
            window = (node.op.kernel, node.op.stride, node.op.pad)
            exact[window] = exact.get(window, True) and not node.op.rounds(graph.input_shapes(node)[0])
    return frozenset(window for window, is_exact in exact.items() if is_exact)
