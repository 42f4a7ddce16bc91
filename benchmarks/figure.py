"""What a benchmark finds: a ratio to a peer, or the peer that it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True)
class Figure:
    """Our cost and a peer's, both in `unit`, and ours over the peer's: below 1 is less."""

    what: str
    peer: str
    mine: float
    theirs: float
    unit: str
    ratio: float
    low: float
    """The quartiles of the ratio: between them lies half of the rounds."""
    high: float
    limit: float | None = None
    """The most that the ratio may be, where the project promises one."""

    @property
    def held(self) -> bool:
        """Tell whether the ratio, unrounded, is within the limit; a figure without a limit holds."""
        return self.limit is None or self.ratio <= self.limit


@dataclass(frozen=True)
class Skipped:
    """A peer that is not there."""

    peer: str
    why: str


Result = Figure | Skipped

_INVERTED = 2 / 3
"""Up to this ratio, how many times less is what a reader wants to know."""


def compare(what: str, peer: str, unit: str, rounds: Iterable[Sequence[float]], limit: float | None = None) -> Figure:
    """Of our cost and the peer's in each round.

    The ratio is the median of those of the rounds: what slows the machine down for a while slows down both in a round.
    """
    mine, theirs = zip(*rounds, strict=True)
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return Figure(what, peer, median(mine), median(theirs), unit, median(ratios), low, high, limit)


def times(ratio: float, beyond: float | None = None) -> str:
    """Return a ratio for a reader: 1.42, or 1/9.9 where a tenth is meant.

    With `beyond`, the limit that it misses, it has as many digits as show that.
    """
    digits = 2
    while beyond is not None and ratio != beyond and _written(ratio, digits) == _written(beyond, digits):
        digits += 1
    return _written(ratio, digits)


def _written(ratio: float, digits: int) -> str:
    return f"{ratio:.{digits}f}" if ratio > _INVERTED else f"1/{1 / ratio:.{digits + 1}g}"
