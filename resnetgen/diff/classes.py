"""Nodes of two nets -> classes: numbers that are equal where nodes cannot be told apart. No names, no recursion."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from resnetgen.diff.net import Record

_ROUNDS = 32
"""Of refinement, at most: each takes time in the size of the nets, and nearly all are done after two."""


Group = tuple[tuple[int, int], ...]
"""Parameters that are one: for each (record, which of its parameters)."""


class Pair:
    """The records of two nets in one numbering: those of B follow those of A."""

    def __init__(self, a: Sequence[Record], b: Sequence[Record]) -> None:
        self.size_a = len(a)
        self.records = (*a, *b)
        self.inputs = [record.inputs for record in a]
        self.inputs += [tuple((u + self.size_a, index) for u, index in record.inputs) for record in b]
        self.readers: list[list[tuple[int, int, int]]] = [[] for _ in self.records]
        """For each node (who reads it, as which input, which output); of commutative readers the input is -1."""
        for node, record in enumerate(self.records):
            for position, (above, index) in enumerate(self.inputs[node]):
                self.readers[above].append((node, -1 if record.commutative else position, index))
        self.sharers: list[dict[int, Group]] = [{} for _ in self.records]
        """For each node, for each parameter that it shares: (node, which parameter) of all that share it."""
        for offset, records in ((0, a), (self.size_a, b)):
            for (node, at), group in shared_by(records).items():
                self.sharers[node + offset][at] = tuple((sharer + offset, which) for sharer, which in group)
        self.labels = numbered([self._label(node) for node in range(len(self.records))])
        self.types = numbered([record.type for record in self.records])

    def _label(self, node: int) -> Hashable:
        """What a node does by itself."""
        record = self.records[node]
        own = tuple(sorted(record.attributes.items(), key=lambda item: item[0]))
        return record.type, own, len(record.inputs), record.outputs, record.commutative, tuple(self.sharers[node])

    def above(self, node: int, key: Sequence[int]) -> Hashable:
        """The classes of a node's inputs, in their order where it matters."""
        classes = [(key[u], index) for u, index in self.inputs[node]]
        return tuple(sorted(classes) if self.records[node].commutative else classes)

    def below(self, node: int, key: Sequence[int]) -> Hashable:
        return tuple(sorted((key[v], position, index) for v, position, index in self.readers[node]))

    def beside(self, node: int, key: Sequence[int]) -> Hashable:
        """The classes of the nodes that share parameters with a node."""
        return tuple(tuple(sorted((key[v], at) for v, at in group)) for group in self.sharers[node].values())


def shared_by(records: Sequence[Record]) -> dict[tuple[int, int], Group]:
    """(record, which parameter) -> all that share it. A name that is used once shares nothing."""
    groups: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for node, record in enumerate(records):
        for at, name in enumerate(record.shared):
            if name:
                groups[name].append((node, at))
    return {member: tuple(group) for group in groups.values() if len(group) > 1 for member in group}


def numbered(keys: Sequence[Hashable]) -> list[int]:
    """A number for each key, the same for equal ones. In the order of first appearance, so that runs are alike."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def roughly(pair: Pair, radius: int) -> list[int]:
    """Classes by what is within `radius` edges."""
    key = pair.labels
    for _ in range(radius):
        key = _round(pair, key)
    return key


def refined(pair: Pair) -> list[int]:
    """Classes by all that is above a node and all that is below it, refined until no class divides further."""
    key = numbered(list(zip(_cones(pair, downward=True), _cones(pair, downward=False), strict=True)))
    for _ in range(_ROUNDS):
        finer = _round(pair, key)
        if max(finer) == max(key):
            break
        key = finer
    return key


def _round(pair: Pair, key: list[int]) -> list[int]:
    return numbered(
        [(key[v], pair.above(v, key), pair.below(v, key), pair.beside(v, key)) for v in range(len(pair.records))]
    )


def _cones(pair: Pair, downward: bool) -> list[int]:
    """Classes by all that is above a node; else by all that is below it."""
    numbers: dict[Hashable, int] = {}
    key = [0] * len(pair.records)
    for v in range(len(key)) if downward else reversed(range(len(key))):
        seen = (pair.labels[v], pair.above(v, key) if downward else pair.below(v, key))
        key[v] = numbers.setdefault(seen, len(numbers))
    return key
