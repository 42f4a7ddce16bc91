"""Which record of one net is which of another: by name, or by structure."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Sequence

from resnetgen.diff.align import align
from resnetgen.diff.classes import Pair, refined, roughly
from resnetgen.diff.net import Net, Record

Matching = list[tuple[int, int]]
"""(place in A's records, place in B's); each at most once."""


def by_name(a: Net, b: Net) -> Matching:
    """Records of the same name; of several with one name the first with the first. Inputs match inputs alone."""
    places = {key: place for place, key in enumerate(_keys(b.records))}
    return [(place, places[key]) for place, key in enumerate(_keys(a.records)) if key in places]


def _keys(records: Iterable[Record]) -> Iterable[Hashable]:
    seen: Counter[tuple[bool, str]] = Counter()
    for record in records:
        name = (record.is_input, record.name)
        yield (*name, seen[name])
        seen[name] += 1


def by_structure(a: Net, b: Net) -> Matching:
    """Records that do the same at the same place of the dataflow, whatever they are called.

    1. Records are divided into classes by all that is above and below them (classes.py). Where a class has as many
       members in A as in B they are matched. For two nets that are equal this matches everything.
    2. The rest is put into one order that depends on structure alone and aligned (align.py): by what is near, then
       by what a record does itself, then by its type.
    3. What is left is matched along the edges from what is matched, where only one partner is possible.

    Choices among records of one class are carried along the edges before the next is made. A net so symmetrical
    that this is not enough may be said to differ from itself renamed; no different nets are said to be equal.
    """
    pair = Pair(a.records, b.records)
    matcher = _Matcher(pair)
    matcher.match_classes(refined(pair))
    if not matcher.complete():
        near, own, types = roughly(pair, 2), pair.labels, pair.types
        matcher.match_all(align(pair, matcher.match, (near, own, types)))
        for key in (own, types):
            matcher.spread(key, [x for x in range(pair.size_a) if x in matcher.match])
    return sorted((x, y - pair.size_a) for x, y in matcher.match.items() if x < pair.size_a)


class _Matcher:
    """Nodes are numbered through both nets; `match` holds both directions."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.match: dict[int, int] = {}

    def complete(self) -> bool:
        return len(self.match) == len(self.pair.records)

    def match_all(self, pairs: Iterable[tuple[int, int]]) -> None:
        for x, y in pairs:
            self.match[x], self.match[y] = y, x

    def match_classes(self, key: Sequence[int]) -> None:
        members: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for node, kind in enumerate(key):
            members[kind][node >= self.pair.size_a].append(node)
        even = {kind: (xs, ys) for kind, (xs, ys) in members.items() if len(xs) == len(ys)}
        self.match_all((xs[0], ys[0]) for xs, ys in even.values() if len(xs) == 1)
        self.spread(key, [x for x in range(self.pair.size_a) if x in self.match])
        waiting: dict[Hashable, deque[int]] = {}
        for x in range(self.pair.size_a):
            if x in self.match or key[x] not in even:
                continue
            # Its inputs come before it, so they are matched: a partner must read the same.
            place: Hashable = (key[x], self._mapped_inputs(x))
            if place not in waiting:
                waiting[place] = deque(y for y in self._candidates(x, even[key[x]][1]) if key[y] == key[x])
            queue = waiting[place]
            while queue and queue[0] in self.match:
                queue.popleft()
            if queue:
                self.match_all([(x, queue.popleft())])
                self.spread(key, [x])

    def _mapped_inputs(self, x: int) -> Hashable:
        inputs = [(self.match.get(u, -1), index) for u, index in self.pair.inputs[x]]
        return tuple(sorted(inputs) if self.pair.records[x].commutative else inputs)

    def _candidates(self, x: int, members: list[int]) -> list[int]:
        if not self.pair.inputs[x] or (above := self.match.get(self.pair.inputs[x][0][0])) is None:
            return members
        wanted = self._mapped_inputs(x)
        readers = dict.fromkeys(reader for reader, _, _ in self.pair.readers[above])
        return [y for y in readers if self._own_inputs(y) == wanted]

    def _own_inputs(self, y: int) -> Hashable:
        inputs = self.pair.inputs[y]
        return tuple(sorted(inputs) if self.pair.records[y].commutative else inputs)

    def spread(self, key: Sequence[int], start: list[int]) -> None:
        """Match the neighbours of what is matched, where they are of one class and nothing else of it is there."""
        todo = deque(start)
        while todo:
            x = todo.popleft()
            for near_x, near_y in self._neighbours(key, x, self.match[x]):
                if len(near_x) == len(near_y) == 1:
                    self.match_all([(near_x[0], near_y[0])])
                    todo.append(near_x[0])

    def _neighbours(self, key: Sequence[int], x: int, y: int) -> Iterable[tuple[list[int], list[int]]]:
        groups: dict[Hashable, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for side, node in ((0, x), (1, y)):
            ordered = not self.pair.records[node].commutative
            for position, (above, index) in enumerate(self.pair.inputs[node]):
                if above not in self.match:
                    groups["above", position if ordered else -1, index, key[above]][side].append(above)
            for below, position, index in self.pair.readers[node]:
                if below not in self.match:
                    groups["below", position, index, key[below]][side].append(below)
        return groups.values()
