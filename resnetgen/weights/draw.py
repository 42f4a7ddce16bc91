"""Drawing of tensors in threads, a limited number of bytes ahead of the writer: all weights are never in memory at
once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod

from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Shape
from resnetgen.weights.source import Array, Key, WeightSource, checksum

_THREADS = max(1, min(2, (os.cpu_count() or 1) - 1))
"""Threads besides the one that hashes and writes. On two processors a third thread makes a build a tenth slower."""
_AHEAD = 48 << 20
"""Bytes that may be drawn before they are asked for; a single tensor may be larger."""

Drawn = tuple[Key, Array, int]
"""Key, tensor and checksum."""


class Drawing:
    """Iterator over tensors, each once, in the order of `shapes`. Drawing starts at once."""

    def __init__(self, weights: WeightSource, shapes: Mapping[Key, Shape]) -> None:
        self._weights = weights
        self._left = deque((key, 4 * prod(shape)) for key, shape in shapes.items())
        self._pending: deque[tuple[Future[Drawn], int]] = deque()
        self._ahead = 0
        self._pool = ThreadPoolExecutor(_THREADS)
        self._fill()

    def __iter__(self) -> Iterator[Drawn]:
        try:
            while self._pending:
                done, size = self._pending.popleft()
                drawn = done.result()
                self._ahead -= size
                self._fill()
                yield drawn
        finally:
            self.close()

    def close(self) -> None:
        """Stop drawing."""
        self._left.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _fill(self) -> None:
        while self._left and (not self._pending or self._ahead + self._left[0][1] <= _AHEAD):
            key, size = self._left.popleft()
            self._ahead += size
            self._pending.append((self._pool.submit(self._draw, key), size))

    def _draw(self, key: Key) -> Drawn:
        values = self._weights.tensor(*key)
        return key, values, checksum(values)


def payload(shapes: Mapping[Key, Shape], itemsize: int = 4) -> int:
    """Return the total bytes of weights of these shapes."""
    return itemsize * sum(map(prod, shapes.values()))


def keys(graph: Graph) -> dict[Key, Shape]:
    """Return the shape of every parameter of a graph, in the order of its nodes."""
    return {(node.name, p.name): p.shape for node in graph.nodes for p in graph.parameters(node)}
