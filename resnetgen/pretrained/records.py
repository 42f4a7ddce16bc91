"""Networks as records, named so that two of them can be compared although their layers have different names.

Layers with weights are matched by the names of the weights; they are the anchors. A layer without weights is identified
by the layer that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from resnetgen.comparison import INPUT, Net, Record
from resnetgen.errors import Code, LimitError
from resnetgen.ir.graph import Graph, Node

_AT_THE_END = ("Softmax", "Accuracy", "ArgMax")
"""Types of layers that, like losses, may be missing at the output: weights fit a classifier with and without them."""

Read = tuple[int, int]
"""A record, and the index of its output."""


class Structure(Struct, frozen=True):
    """A network as a file or a plan describes it."""

    net: Net
    anchors: Mapping[int, str]
    """Record -> name of its weights, the same in both networks."""
    passed: frozenset[str]
    """Types of records that compute nothing, such as Dropout."""
    nodes: Mapping[int, Node] = field(default_factory=dict)
    """Record -> node of the graph; only for the spec's network."""


def most_layers(graph: Graph) -> int:
    """Return the limit of layers of a file that are compared: one op may be several layers, but not any number."""
    return 1000 + 10 * len(graph.nodes)


def require_few_reads(count: int, most: int) -> None:
    """Raise LimitError if the layers of a file read far more tensors than `most` layers do."""
    if count > 8 * most:
        raise LimitError.of(Code.LIMIT, f"its layers read {count:,} tensors, more than {8 * most:,}")


class AnchorNames:
    """Names of layers as numbers: equal keys have the same number in both networks."""

    def __init__(self, anchors: Sequence[str]) -> None:
        self.place = {name: at for at, name in enumerate(anchors)}
        self._numbers: dict[object, int] = {}

    def number(self, key: object) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


class Bare:
    """A structure without the layers that compute nothing."""

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self.anchors = structure.anchors
        self.records = structure.net.records
        self.inputs = self._inputs()
        """Record -> the outputs that it reads."""
        self.ends = self._ends()
        """Records that no record reads, before a softmax or a loss."""

    def _inputs(self) -> dict[int, tuple[Read, ...]]:
        source: dict[int, Read] = {}
        inputs: dict[int, tuple[Read, ...]] = {}
        for at, record in enumerate(self.records):
            reads = tuple(source.get(above, (above, index)) for above, index in record.inputs)
            if record.type in self.structure.passed and reads and at not in self.anchors:
                source[at] = reads[0]
            else:
                inputs[at] = reads
        return inputs

    def _ends(self) -> list[int]:
        ends: list[int] = []
        read: set[int] = set()
        for at in reversed(self.inputs):
            if at not in read:
                if not self.inputs[at] or (at not in self.anchors and _is_ending(self.records[at])):
                    continue
                ends.append(at)
            read |= {above for above, _ in self.inputs[at]}
        return ends

    def above(self, roots: Sequence[int]) -> set[int]:
        """Return the roots and all records that they depend on."""
        reached = set(roots)
        todo = [*reached]
        while todo:
            for above, _ in self.inputs[todo.pop()]:
                if above not in reached:
                    reached.add(above)
                    todo.append(above)
        return reached


def _is_ending(record: Record) -> bool:
    return record.type in _AT_THE_END or record.type.endswith("Loss")


class Named:
    """The part of a structure that leads to its anchors and to `ends`, with names."""

    def __init__(self, bare: Bare, ends: Sequence[int], names: AnchorNames) -> None:
        self.structure = bare.structure
        self.records = bare.records
        self._anchors = bare.anchors
        self._names = names
        self._live = sorted(bare.above([*bare.anchors, *ends]))
        self._inputs = self._ordered(bare.inputs)
        called = self._called(ends)
        self.by_name: dict[str, int] = {}
        """Name -> record; for a duplicate anchor the first."""
        for at in self._live:
            self.by_name.setdefault(called[at], at)
        self.net = self._net(called)

    def _ordered(self, inputs: Mapping[int, tuple[Read, ...]]) -> dict[int, tuple[Read, ...]]:
        """Sort the inputs of sums and products by the last anchors above them: files may have any order."""
        depth: dict[int, tuple[int, int, str]] = {}
        ordered: dict[int, tuple[Read, ...]] = {}
        for at in self._live:
            record, reads = self.records[at], inputs[at]
            ordered[at] = tuple(sorted(reads, key=lambda read: depth[read[0]])) if record.commutative else reads
            if at in self._anchors:
                depth[at] = (self._names.place.get(self._anchors[at], -1), 0, "")
            else:
                last, below, _ = max((depth[above] for above, _ in reads), default=(-1, 0, ""))
                depth[at] = (last, below + 1, record.type)
        return ordered

    def _called(self, ends: Sequence[int]) -> dict[int, str]:
        """Name each record by its weights, else by the reader that is nearest to an anchor."""
        number = self._names.number
        keys: dict[int, list[tuple[int, int]]] = {at: [] for at in self._live}
        for at in ends:
            keys[at].append((0, number("output")))
        called: dict[int, int] = {}
        for at in reversed(self._live):
            steps = 0
            if at in self._anchors:
                called[at] = number(self._anchors[at])
            elif not self._inputs[at]:
                called[at] = number("input")
            else:
                steps, called[at] = min(keys[at])
            for position, (above, _) in enumerate(self._inputs[at]):
                keys[above].append((steps + 1, number((called[at], position))))
        return {at: str(one) for at, one in called.items()}

    def _net(self, called: Mapping[int, str]) -> Net:
        place = {at: number for number, at in enumerate(self._live)}
        records = []
        for at in self._live:
            record = self.records[at]
            if not self._inputs[at] and at not in self._anchors:
                records.append(Record(called[at], INPUT, outputs=record.outputs))
                continue
            inputs = tuple((place[above], index) for above, index in self._inputs[at])
            records.append(replace(record, name=called[at], inputs=inputs, shared=(), places={}))
        return Net(self.structure.net.source, "", tuple(records))
