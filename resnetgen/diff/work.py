"""Counting the steps of a comparison."""

from __future__ import annotations


class Work:
    """Steps taken: edges and list entries visited.

    Searches stop by this count, not by a clock, so that a comparison has one result on every machine; tests hold it
    against the size of the nets.
    """

    def __init__(self) -> None:
        self.steps = 0
