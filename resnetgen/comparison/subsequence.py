"""Long common subsequence of two lists of numbers, in a limited number of steps."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

from resnetgen.comparison.work import Work

_MAX_EDITS = 1000
"""Limit of edits for Myers' algorithm: its time and memory grow with their square."""


def common(a: Sequence[int], b: Sequence[int], work: Work, limit: int) -> list[tuple[int, int]]:
    """Return the index pairs of a longest common subsequence.

    It may be shorter than the longest if the lists differ in more than _MAX_EDITS places, or `work` reaches `limit`
    steps.
    """
    start, end_a, end_b = 0, len(a), len(b)
    while start < min(end_a, end_b) and a[start] == b[start]:
        start += 1
    while min(end_a, end_b) > start and a[end_a - 1] == b[end_b - 1]:
        end_a, end_b = end_a - 1, end_b - 1
    work.steps += len(a) + len(b)
    inner_a, inner_b = a[start:end_a], b[start:end_b]
    inner = _myers(inner_a, inner_b, work, limit)
    if inner is None:
        inner = _by_occurrence(inner_a, inner_b)
    before = [(i, i) for i in range(start)]
    after = [(end_a + i, end_b + i) for i in range(len(a) - end_a)]
    return before + [(start + x, start + y) for x, y in inner] + after


def _myers(a: Sequence[int], b: Sequence[int], work: Work, limit: int) -> list[tuple[int, int]] | None:
    """Return the pairs by Myers, An O(ND) difference algorithm (1986); None above _MAX_EDITS edits or the limit of
    steps.

    `furthest[k]` is the furthest index in `a` that the diagonal x - y = k reaches.
    """
    if abs(len(a) - len(b)) > _MAX_EDITS:
        return None
    furthest = {1: 0}
    past: list[dict[int, int]] = []
    for edits in range(min(len(a) + len(b), _MAX_EDITS) + 1):
        past.append(furthest)
        reached: dict[int, int] = {}
        for k in range(-edits, edits + 1, 2):
            began = x = _step(furthest, k, edits)
            while x < len(a) and x - k < len(b) and a[x] == b[x - k]:
                x += 1
            reached[k] = x
            if x >= len(a) and x - k >= len(b):
                return list(_path(past, k, x))[::-1]
            work.steps += 1 + x - began
            if work.steps > limit:
                return None
        furthest = reached
    return None


def _step(furthest: dict[int, int], k: int, edits: int) -> int:
    """Return the start of diagonal k after one more edit: below its upper neighbour, or right of its lower one."""
    if k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1]):
        return furthest[k + 1]
    return furthest[k - 1] + 1


def _path(past: list[dict[int, int]], k: int, x: int) -> Iterator[tuple[int, int]]:
    """Yield the pairs on the path that ended at x of diagonal k, from the last to the first."""
    for edits in reversed(range(len(past))):
        start = _step(past[edits], k, edits)
        while x > start:
            x -= 1
            yield x, x - k
        if edits:
            down = k == -edits or (k != edits and past[edits][k - 1] < past[edits][k + 1])
            k = k + 1 if down else k - 1
            x = past[edits][k]


def _by_occurrence(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """Pair the i-th of each number in `a` with its i-th in `b`; return a longest series of pairs in the order of both.

    It takes O(n log n) steps: of the series of each length, the one that ends earliest in `b` is kept (patience
    sorting).
    """
    places: dict[int, list[int]] = defaultdict(list)
    for y in reversed(range(len(b))):
        places[b[y]].append(y)
    pairs = [(x, places[number].pop()) for x, number in enumerate(a) if places.get(number)]
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for at, (_, y) in enumerate(pairs):
        length = bisect_left(ends, y)
        before.append(last[length - 1] if length else -1)
        ends[length : length + 1] = [y]
        last[length : length + 1] = [at]
    chosen: list[tuple[int, int]] = []
    at = last[-1] if last else -1
    while at >= 0:
        chosen.append(pairs[at])
        at = before[at]
    return chosen[::-1]
