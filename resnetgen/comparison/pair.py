"""Two nets as one graph, without names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from resnetgen.comparison.net import Record
from resnetgen.comparison.work import Work
from resnetgen.formats.values import Value, Word

Member = tuple[int, int]
"""(record, index of its parameter)."""


class NetPair:
    """Records of two nets as nodes of one graph: first those of A, then those of B.

    After the records there is a node for each parameter that layers share, with an edge to each of these layers: a
    group of n layers takes n edges, not n². All steps are linear in the size of the nets, except for sorting.
    """

    def __init__(self, a: Sequence[Record], b: Sequence[Record], work: Work) -> None:
        self.work = work
        self.size_a = len(a)
        self.records = (*a, *b)
        self.inputs = [record.inputs for record in a]
        self.inputs += [tuple((u + self.size_a, index) for u, index in record.inputs) for record in b]
        self.readers: list[list[tuple[int, int, int]]] = [[] for _ in self.records]
        """For each record: (reader, index of its input, index of the output); the input is -1 if the order does not
        matter."""
        self.edges: list[list[tuple[int, int]]] = [[] for _ in self.records]
        """For each node: (neighbour, kind of the edge)."""
        self.in_b = [node >= self.size_a for node in range(len(self.records))]
        self._edge_kinds: dict[tuple[str, int, int], int] = {}
        for node, record in enumerate(self.records):
            for position, (above, index) in enumerate(self.inputs[node]):
                self._read(node, -1 if record.commutative else position, above, index)
        groups = [(0, members) for members in sharing(a)] + [(self.size_a, members) for members in sharing(b)]
        shares: dict[int, list[int]] = defaultdict(list)
        for offset, members in groups:
            self._share([(node + offset, at) for node, at in members], offset > 0)
            for node, at in members:
                shares[node + offset].append(at)
        own = [f"{_own(record)} shares {sorted(shares[node])}" for node, record in enumerate(self.records)]
        self.labels = numbered(own + ["shared parameter"] * len(groups))
        """Label of each node, equal for nodes with the same type and attributes."""
        self.types = numbered([record.type for record in self.records])
        work.steps += sum(map(len, self.edges)) + len(self.edges)

    def _read(self, node: int, position: int, above: int, index: int) -> None:
        self.readers[above].append((node, position, index))
        self.edges[above].append((node, self._edge_kind("reader", position, index)))
        self.edges[node].append((above, self._edge_kind("input", position, index)))

    def _share(self, members: list[Member], in_b: bool) -> None:
        group = len(self.edges)
        self.edges.append([])
        self.in_b.append(in_b)
        for node, at in members:
            kind = self._edge_kind("shared", at, 0)
            self.edges[group].append((node, kind))
            self.edges[node].append((group, kind))

    def _edge_kind(self, direction: str, at: int, index: int) -> int:
        return self._edge_kinds.setdefault((direction, at, index), len(self._edge_kinds))


def sharing(records: Sequence[Record]) -> list[list[Member]]:
    """Return the groups of parameters that share a name. A name used only once is not shared."""
    groups: dict[str, list[Member]] = defaultdict(list)
    for node, record in enumerate(records):
        for at, name in enumerate(record.shared):
            if name:
                groups[name].append((node, at))
    return [members for members in groups.values() if len(members) > 1]


def numbered(texts: Sequence[str]) -> list[int]:
    """Return a number for each text, equal for equal texts, in the order of first appearance.

    Texts are used because Python seeds their hashes: a file cannot be built so that many of them collide.
    """
    numbers: dict[str, int] = {}
    return [numbers.setdefault(text, len(numbers)) for text in texts]


def nearby(pair: NetPair, radius: int) -> list[int]:
    """Return a number for each node, equal for nodes that look alike up to `radius` edges away."""
    key = pair.labels
    for _ in range(radius):
        seen = [
            (key[node], sorted((key[near], kind) for near, kind in edges), node)
            for node, edges in enumerate(pair.edges)
        ]
        seen.sort()
        finer = [0] * len(key)
        for (before, above, last), (now, around, node) in pairwise(seen):
            finer[node] = finer[last] + ((before, above) != (now, around))
        key = finer
        pair.work.steps += sum(map(len, pair.edges)) + len(pair.edges)
    return key


def _own(record: Record) -> str:
    """Return a text that is equal for records with the same type and attributes."""
    attributes = " ".join(f"{path!r}={_text(record.attributes[path])}" for path in sorted(record.attributes))
    sizes = f"{len(record.inputs)} {record.outputs} {record.commutative}"
    return f"{record.type!r} {sizes} {attributes}"


def _text(value: Value) -> str:
    """Return a text that is equal for equal values and for no others: 1, 1.0 and true are equal."""
    match value:
        case tuple():
            return f"({','.join(map(_text, value))})"
        case Word():
            return f"word{value.text!r}"
        case float() if not value.is_integer():
            return repr(value)
        case int() | float():
            return f"{int(value):x}"
        case _:
            return repr(value)
