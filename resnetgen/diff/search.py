"""Choosing among nodes that look alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resnetgen.diff.partition import Partition

MAX_WASTED = 1_000_000
"""Steps that may be spent on choices which are taken back, in nets of any size."""
WASTED_PER_EDGE = 8
"""As many more for each end of an edge."""


def match_alike(partition: Partition) -> None:
    """Match the members of each even class, one by one: the first of A with the first of B that fits.

    A choice that contradicts an earlier one is taken back, and the next is tried. For trees, and for all that people
    draw, the first choice fits. Of graphs where every node has the same neighbours, such as random regular ones, most
    choices do not; so what may be spent on them is limited. Then, and where no choice fits, some members stay
    unmatched.
    """
    _Search(partition).run()


@dataclass
class _Choice:
    node: int
    """The node of A."""
    mark: int
    """The state of the partition before it."""
    began: int
    """The steps that were taken before it."""
    first: int = -1
    """The node of B that was tried first."""
    others: Iterator[int] | None = None
    """The nodes of B that were not tried yet; listed when the first did not fit."""


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
        """Return the next choice that is open. Every class has its members of A after `start`, or is settled."""
        began = self.work.steps
        for node in range(start, self.partition.pair.size_a):
            self.work.steps += 1
            if self.partition.is_open(self.partition.class_of[node]):
                return _Choice(node, self.partition.mark(), began)
        return None

    def _advance(self, choice: _Choice) -> bool:
        """Match the node with the next one of B that fits. False: none does, or too much was spent."""
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
        """Count the steps since the choice began as spent for nothing."""
        self.wasted += self.work.steps - choice.began
        choice.began = self.work.steps
