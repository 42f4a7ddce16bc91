"""Step counter of a comparison."""

from __future__ import annotations


class Work:
    """Number of steps taken: edges and list entries visited.

    Searches stop by this count, not by a clock, so that a comparison gives the same result on every machine; tests
    compare it with the size of the nets.
    """

    def __init__(self) -> None:
        self.steps = 0
