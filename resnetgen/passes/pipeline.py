"""The passes in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from resnetgen.ir.graph import Graph
from resnetgen.passes.fold_norm import fold_norm
from resnetgen.weights.source import WeightSource

Pass: TypeAlias = Callable[[Graph, WeightSource], tuple[Graph, WeightSource]]

PIPELINE: tuple[Pass, ...] = (fold_norm,)


def run_passes(graph: Graph, weights: WeightSource, passes: tuple[Pass, ...] = PIPELINE) -> tuple[Graph, WeightSource]:
    for apply in passes:
        graph, weights = apply(graph, weights)
    return graph, weights
