"""Matching of the records of two nets, by name or by structure."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Sequence

from resnetgen.comparison.align import align
from resnetgen.comparison.net import Net, Record
from resnetgen.comparison.pair import NetPair, nearby
from resnetgen.comparison.partition import Partition
from resnetgen.comparison.search import match_alike
from resnetgen.comparison.work import Work

Matching = list[tuple[int, int]]
"""(place in A's records, place in B's) of each match; each place at most once."""


def by_name(a: Net, b: Net) -> Matching:
    """Match records by name; duplicates of a name are matched in order. Inputs match inputs alone."""
    places = {key: place for place, key in enumerate(_keys(b.records))}
    return [(place, places[key]) for place, key in enumerate(_keys(a.records)) if key in places]


def _keys(records: Iterable[Record]) -> Iterable[Hashable]:
    seen: Counter[tuple[bool, str]] = Counter()
    for record in records:
        name = (record.is_input, record.name)
        yield (*name, seen[name])
        seen[name] += 1


def by_structure(a: Net, b: Net, work: Work | None = None) -> Matching:
    """Match records that do the same at the same place of the dataflow, whatever their names.

    1. Records are divided into classes by everything above and below them (partition.py).
    2. A class with as many members in A as in B is matched; the consequences of one choice are settled before the
       next (search.py). For two equal nets this matches everything.
    3. The rest is put into one order that depends on structure alone and aligned (align.py): by neighbourhood, then
       by each record's own attributes, then by its type.
    4. What is left is matched along the edges of matched records, if only one partner is possible.

    The steps grow with the size of the nets times its logarithm; `work` counts them. Two searches could take longer, so
    they stop at a limit that is linear in the size: that of step 2, after which a net may be reported to differ from
    itself renamed, and that of step 3 for the longest alignment. Different nets are never reported as equal: `compare`
    checks every pair.
    """
    pair = NetPair(a.records, b.records, work or Work())
    partition = Partition(pair)
    match_alike(partition)
    matching = {x: y for x, y in partition.pairs() if x < pair.size_a}
    if not len(matching) == len(a.records) == len(b.records):
        match = matching | {y: x for x, y in matching.items()}
        near, own, types = nearby(pair, 2), pair.labels, pair.types
        for x, y in align(pair, match, (near, own, types)):
            match[x], match[y] = y, x
        for key in (own, types):
            _spread(pair, match, key)
        matching = {x: y for x, y in match.items() if x < pair.size_a}
    return sorted((x, y - pair.size_a) for x, y in matching.items())


def _spread(pair: NetPair, match: dict[int, int], key: Sequence[int]) -> None:
    """Match the neighbours of matched records, if exactly one in A and one in B are of the same class.

    Each record is visited once, after it has been matched.
    """
    todo = deque(x for x in match if x < pair.size_a)
    while todo:
        x = todo.popleft()
        for near_x, near_y in _neighbours(pair, match, key, x):
            if len(near_x) == len(near_y) == 1:
                match[near_x[0]], match[near_y[0]] = near_y[0], near_x[0]
                todo.append(near_x[0])


def _neighbours(
    pair: NetPair, match: dict[int, int], key: Sequence[int], x: int
) -> Iterable[tuple[list[int], list[int]]]:
    """Return the unmatched neighbours of a matched pair, in A and in B, grouped by their edge and class."""
    groups: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, node in ((0, x), (1, match[x])):
        pair.work.steps += len(pair.inputs[node]) + len(pair.readers[node])
        ordered = not pair.records[node].commutative
        for position, (above, index) in enumerate(pair.inputs[node]):
            if above not in match:
                groups["above", position if ordered else -1, index, key[above]][side].append(above)
        for below, position, index in pair.readers[node]:
            if below not in match:
                groups["below", position, index, key[below]][side].append(below)
    return groups.values()
