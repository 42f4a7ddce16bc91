"""Partition of nodes into classes that look alike, refined until no class can be divided further."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter

from resnetgen.comparison.pair import NetPair


class Partition:
    """Nodes of a Pair in classes, first by their labels and then by their neighbours.

    A class is divided if its members have different neighbours in another class. Of the parts of a class all but the
    largest are processed again (Hopcroft's rule), so that each node is processed at most log2(n) times, however the
    classes come to be divided: O(edges * log(nodes)) steps over the life of a partition, and as many for undone
    choices.
    """

    def __init__(self, pair: NetPair) -> None:
        self.pair = pair
        self.class_of = list(pair.labels)
        count = max(self.class_of, default=-1) + 1
        self.sizes = [0] * count, [0] * count
        """For A and for B: class -> number of members."""
        for node, kind in enumerate(self.class_of):
            self.sizes[pair.in_b[node]][kind] += 1
        nodes = sorted(range(len(self.class_of)), key=lambda node: self.class_of[node])
        self._nodes = [n for n in nodes if not pair.in_b[n]], [n for n in nodes if pair.in_b[n]]
        """For A and for B: the nodes, class by class."""
        self._place = [0] * len(nodes)
        self._starts: tuple[list[int], list[int]] = [0] * count, [0] * count
        for side in (0, 1):
            for place, node in enumerate(self._nodes[side]):
                self._place[node] = place
            for kind in range(1, count):
                self._starts[side][kind] = self._starts[side][kind - 1] + self.sizes[side][kind - 1]
        self._parents: list[int] = []
        """Class from which each later class was split off, in the order of splitting."""
        self._labels = count
        self._refine(range(count), strict=False)

    def is_even(self, kind: int) -> bool:
        """Return True if a class has as many members in A as in B."""
        return self.sizes[0][kind] == self.sizes[1][kind]

    def is_open(self, kind: int) -> bool:
        """Return True if a class is even and has more than one member in each net."""
        return self.is_even(kind) and self.sizes[0][kind] > 1

    def members(self, kind: int, side: int) -> list[int]:
        """Return the members of a class in A (side 0) or in B (side 1)."""
        start = self._starts[side][kind]
        return self._nodes[side][start : start + self.sizes[side][kind]]

    def first(self, kind: int, side: int) -> int:
        """Return the first member of a class in A or in B."""
        return self._nodes[side][self._starts[side][kind]]

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield the members of classes with one node of A and one of B."""
        for kind, sizes in enumerate(zip(*self.sizes, strict=True)):
            if sizes == (1, 1):
                yield self.first(kind, 0), self.first(kind, 1)

    def mark(self) -> int:
        """Return the present state, for `undo`."""
        return len(self._parents)

    def choose(self, x: int, y: int) -> bool:
        """Match a node of A with one of B in the same class, and divide the classes accordingly.

        Return False, with nothing changed, if an even class would become uneven: then no isomorphism matches the two.
        """
        mark = self.mark()
        part = self._split(self.class_of[x], (x, y))
        if self._refine((part,), strict=True):
            return True
        self.undo(mark)
        return False

    def undo(self, mark: int) -> None:
        """Return to the state of a mark."""
        while len(self._parents) > mark:
            parent = self._parents.pop()
            for side in (0, 1):
                start, size = self._starts[side].pop(), self.sizes[side].pop()
                for node in self._nodes[side][start : start + size]:
                    self.class_of[node] = parent
                self.pair.work.steps += size
                # The part was taken from the front of its parent's members.
                self._starts[side][parent] = start
                self.sizes[side][parent] += size

    def _refine(self, kinds: Iterable[int], strict: bool) -> bool:
        """Divide classes until each is uniform towards each. With `strict`, return False as soon as an even one becomes
        uneven."""
        queue = deque(kinds)
        waiting = set(queue)
        while queue:
            kind = queue.popleft()
            waiting.remove(kind)
            for divided, parts in self._divisions(kind):
                even = self.is_even(divided)
                made = [divided, *(self._split(divided, part) for part in parts)]
                if strict and even and not all(map(self.is_even, made)):
                    return False
                if divided not in waiting:
                    made.remove(max(made, key=self._size))
                for part in made:
                    if part not in waiting:
                        waiting.add(part)
                        queue.append(part)
        return True

    def _size(self, kind: int) -> int:
        return self.sizes[0][kind] + self.sizes[1][kind]

    def _divisions(self, kind: int) -> Iterator[tuple[int, list[list[int]]]]:
        """Yield the classes whose members have different edges to one class, each with the parts to split off."""
        reached: dict[int, list[int]] = {}
        for node in chain(self.members(kind, 0), self.members(kind, 1)):
            edges = self.pair.edges[node]
            self.pair.work.steps += 1 + len(edges)
            for near, edge in edges:
                if near in reached:
                    reached[near].append(edge)
                else:
                    reached[near] = [edge]
        # Sorted rather than hashed: lists of small numbers could be chosen so that their hashes collide.
        found = sorted((self.class_of[near], sorted(edges), near) for near, edges in reached.items())
        for divided, rows in groupby(found, key=itemgetter(0)):
            parts = [[near for *_, near in part] for _, part in groupby(rows, key=itemgetter(1))]
            if sum(map(len, parts)) == self._size(divided):
                parts.remove(max(parts, key=len))
            if parts:
                yield divided, parts

    def _split(self, kind: int, part: Iterable[int]) -> int:
        """Split some members off a class; return the new class."""
        new = len(self.sizes[0])
        for side in (0, 1):
            self._starts[side].append(self._starts[side][kind])
            self.sizes[side].append(0)
        for node in part:
            side = self.pair.in_b[node]
            nodes, place, front = self._nodes[side], self._place[node], self._starts[side][kind]
            nodes[place], nodes[front] = nodes[front], node
            self._place[nodes[place]], self._place[node] = place, front
            self._starts[side][kind] += 1
            self.sizes[side][kind] -= 1
            self.sizes[side][new] += 1
            self.class_of[node] = new
        self._parents.append(kind)
        return new
