"""Choice among nodes that look alike."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from resnetgen.comparison.partition import Partition

MAX_WASTED = 1_000_000
"""Limit of steps for choices that are undone, plus WASTED_PER_EDGE for each end of an edge."""
WASTED_PER_EDGE = 8
"""Additional steps for each end of an edge."""


def match_alike(partition: Partition) -> None:
    """Match the members of each even class, one by one: the first of A with the first of B that fits.

    A choice that contradicts an earlier one is undone, and the next is tried. For trees, and for all networks in
    practice, the first choice fits. In graphs where every node has the same neighbours, such as random regular ones,
    most choices do not; so the steps for them are limited. Above the limit, or if no choice fits, some members stay
    unmatched.
    """
    _Search(partition).run()


class _Choice(Struct):
    node: int
    """Node of A."""
    mark: int
    """State of the partition before the choice."""
    began: int
    """Number of steps before the choice."""
    first: int = -1
    """Node of B that was tried first."""
    others: Iterator[int] | None = None
    """Nodes of B that were not tried yet; listed only after the first did not fit."""


class _Search:
    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.work = partition.pair.work
        self.wasted = 0
        self.limit = MAX_WASTED + WASTED_PER_EDGE * sum(map(len, partition.pair.edges))

    def run(self) -> None:
        choices: list[_Choice] = []
        while (choice := self._next(choices[-1].node + 1 if choices else 0)) is not None:
            while not self._advance(choice):
                if not choices or self.wasted > self.limit:
                    return
                choice = choices.pop()
                self.partition.undo(choice.mark)
                self._waste(choice)
            choices.append(choice)

    def _next(self, start: int) -> _Choice | None:
        """Return the next open choice. All members of A in open classes come after `start`."""
        began = self.work.steps
        for node in range(start, self.partition.pair.size_a):
            self.work.steps += 1
            if self.partition.is_open(self.partition.class_of[node]):
                return _Choice(node, self.partition.mark(), began)
        return None

    def _advance(self, choice: _Choice) -> bool:
        """Match the node with the next one of B that fits. Return False if none does, or above the limit."""
        for other in self._candidates(choice):
            if self.partition.choose(choice.node, other):
                return True
            self._waste(choice)
            if self.wasted > self.limit:
                return False
        return False

    def _candidates(self, choice: _Choice) -> Iterator[int]:
        kind = self.partition.class_of[choice.node]
        if choice.first < 0:
            choice.first = self.partition.first(kind, 1)
            yield choice.first
        if choice.others is None:
            members = self.partition.members(kind, 1)
            self.work.steps += len(members)
            choice.others = iter([member for member in members if member != choice.first])
        yield from choice.others

    def _waste(self, choice: _Choice) -> None:
        """Count the steps since the choice began as wasted."""
        self.wasted += self.work.steps - choice.began
        choice.began = self.work.steps
