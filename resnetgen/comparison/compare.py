"""Comparison of two nets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import zip_longest

from resnetgen.comparison.difference import Difference, FieldDifference, LayerDifference, Only, Side
from resnetgen.comparison.match import by_name, by_structure
from resnetgen.comparison.net import Net, Record
from resnetgen.comparison.pair import Member, sharing
from resnetgen.errors import Span
from resnetgen.escape import MAX_SHOWN
from resnetgen.formats.caffe.model.attributes import default_of
from resnetgen.formats.values import Value, Word

Read = tuple[int, int]
"""Producer and index of its output, as in Record.inputs."""

_MANY = 3
"""Smallest number of unmatched names for the hint to ignore names; it must also be a quarter of all."""


def compare(a: Net, b: Net, ignore_names: bool = False) -> Difference:
    """Compare each record of A with its match in B: type, attributes and inputs.

    With `ignore_names` records are matched by structure, and the names of the net, its inputs, its layers and its
    shared parameters are ignored. Otherwise records are matched by name.
    """
    matching = by_structure(a, b) if ignore_names else by_name(a, b)
    comparison = _Comparison(a, b, dict(matching), ignore_names)
    pairs = [LayerDifference(a.records[x], b.records[y], tuple(comparison.fields(x, y))) for x, y in matching]
    only_a = _only(a, {x for x, _ in matching})
    only_b = _only(b, {y for _, y in matching})
    # Layers without a namesake in both nets, and namesakes of another type.
    strangers = min(len(only_a), len(only_b)) + sum(pair.a.type != pair.b.type for pair in pairs)
    return Difference(
        a=a.source,
        b=b.source,
        net=tuple(comparison.net()),
        layers=tuple(pair for pair in pairs if pair.fields),
        only_a=only_a,
        only_b=only_b,
        renamed=tuple((pair.a.name, pair.b.name) for pair in pairs if pair.a.name != pair.b.name),
        equal_layers=sum(not pair.fields and not pair.a.is_input for pair in pairs),
        suggest_ignoring_names=not ignore_names and strangers >= max(_MANY, min(len(a.records), len(b.records)) / 4),
    )


def _only(net: Net, matched: set[int]) -> tuple[Only, ...]:
    rest = (record for place, record in enumerate(net.records) if place not in matched)
    return tuple(Only(record, _at(net, record.span)) for record in rest)


def _at(net: Net, span: Span | None) -> str:
    return str(span) if span else net.source


class _Comparison:
    def __init__(self, a: Net, b: Net, match: Mapping[int, int], ignore_names: bool) -> None:
        self.a, self.b, self.match, self.ignore_names = a, b, match, ignore_names
        groups = sharing(a.records), sharing(b.records)
        self.group_a, self.group_b = (
            {member: at for at, group in enumerate(one) for member in group} for one in groups
        )
        """(record, index of its parameter) -> group of parameters that are shared."""
        self.groups = [self._mapped_group(group, groups[1]) for group in groups[0]]
        """Group of A -> the group of B whose members are matched with its own; None if there is none."""

    def net(self) -> Iterator[FieldDifference]:
        if self.a.name != self.b.name and not self.ignore_names:
            sides = (Side(net.name, _at(net, net.span)) for net in (self.a, self.b))
            yield FieldDifference("name", *sides)
        for path in {**self.a.attributes, **self.b.attributes}:
            a, b = (Side(net.attributes.get(path), _at(net, net.places.get(path))) for net in (self.a, self.b))
            if a.value != b.value:
                yield FieldDifference(path, a, b)

    def fields(self, x: int, y: int) -> Iterator[FieldDifference]:
        """Yield the differences between a record of A and one of B."""
        a, b = self.a.records[x], self.b.records[y]
        if a.type != b.type:
            yield self._field("type", a, b, Word(a.type), Word(b.type))
        if a.outputs != b.outputs:
            yield self._field("tops", a, b, a.outputs, b.outputs)
        for path in {**a.attributes, **b.attributes}:
            value_a, value_b = (record.attributes.get(path, default_of(path)) for record in (a, b))
            if value_a != value_b:
                yield self._field(path, a, b, value_a, value_b)
        yield from self._bottoms(a, b)
        for at in range(max(len(a.shared), len(b.shared))):
            name_a, name_b = (record.shared[at] if at < len(record.shared) else "" for record in (a, b))
            same = self._same_sharers(x, y, at) if self.ignore_names else name_a == name_b
            if not same:
                yield self._field(f"param[{at}].name", a, b, name_a or None, name_b or None)

    def _field(self, path: str, a: Record, b: Record, value_a: Value | None, value_b: Value | None) -> FieldDifference:
        def side(net: Net, record: Record, other: Record, value: Value | None) -> Side:
            default = value is not None and path in other.attributes and path not in record.attributes
            return Side(value, _at(net, record.places.get(path, record.span)), default)

        return FieldDifference(path, side(self.a, a, b, value_a), side(self.b, b, a, value_b))

    def _bottoms(self, a: Record, b: Record) -> Iterator[FieldDifference]:
        """Yield the inputs that come from different producers, each of A's paired with the one that B reads instead."""
        read_a = [(at, read, self._mapped(read)) for at, read in enumerate(a.inputs)]
        read_b = [(at, read, read) for at, read in enumerate(b.inputs)]
        if a.commutative and b.commutative:
            both = Counter(mapped for *_, mapped in read_a) & Counter(b.inputs)
            read_a, read_b = _without(read_a, both), _without(read_b, both)
        for one, other in zip_longest(read_a, read_b):
            if one and other and one[2] == other[2]:
                continue
            at = one[0] if one else other[0]
            names = (_producer(self.a, one and one[1]), _producer(self.b, other and other[1]))
            yield self._field(f"bottom[{at}]", a, b, *names)

    def _mapped(self, read: Read) -> Read:
        """Return the output of B that is matched with one of A; its producer is -1 if there is none."""
        producer, index = read
        return self.match.get(producer, -1), index

    def _mapped_group(self, group: list[Member], groups_b: list[list[Member]]) -> int | None:
        mapped = {self.group_b.get(self._mapped(member)) for member in group}
        found = mapped.pop()
        return found if not mapped and found is not None and len(groups_b[found]) == len(group) else None

    def _same_sharers(self, x: int, y: int, at: int) -> bool:
        """Return True if a parameter is shared with the same layers, under any name."""
        of_a, of_b = self.group_a.get((x, at)), self.group_b.get((y, at))
        if of_a is None or of_b is None:
            return of_a is of_b
        return self.groups[of_a] == of_b


def _without(reads: list[tuple[int, Read, Read]], taken: Counter[Read]) -> list[tuple[int, Read, Read]]:
    left, rest = Counter(taken), []
    for item in reads:
        if left[item[2]] > 0:
            left[item[2]] -= 1
        else:
            rest.append(item)
    return rest


def _producer(net: Net, read: Read | None) -> Value | None:
    """Return the name of a producer: `slice`, or `slice[1]` if it has several outputs.

    A very long name is cut, since every layer that reads it may repeat it.
    """
    if read is None:
        return None
    record = net.records[read[0]]
    name = record.name if len(record.name) <= MAX_SHOWN else f"{record.name[:MAX_SHOWN]}..."
    return Word(f"{name}[{read[1]}]" if record.outputs > 1 else name)
