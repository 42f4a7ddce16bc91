"""Unified diff of two texts, in a limited number of steps like `compare`."""

from __future__ import annotations

from collections.abc import Iterator

from resnetgen.comparison.align import MAX_STEPS, STEPS_PER_RECORD
from resnetgen.comparison.pair import numbered
from resnetgen.comparison.subsequence import common
from resnetgen.comparison.work import Work

_CONTEXT = 3
"""Number of equal lines shown around a change."""

Change = tuple[int, int, int, int]
"""Range of lines of A and range of lines of B that differ; ends are exclusive."""


def unified_diff(a: str, b: str, name_a: str, name_b: str, work: Work | None = None) -> str:
    """Return the lines that differ, in the format of `diff -u`; an empty text if there are none.

    Python's difflib takes time that grows with the square or the cube of the texts. For texts that differ in very many
    lines this diff is correct, but may be longer than necessary.
    """
    work = work or Work()
    old, new = a.splitlines(keepends=True), b.splitlines(keepends=True)
    numbers = numbered(old + new)
    limit = work.steps + MAX_STEPS + STEPS_PER_RECORD * len(numbers)
    pairs = common(numbers[: len(old)], numbers[len(old) :], work, limit)
    hunks = [_hunk(old, new, changes) for changes in _together(_changes(pairs, len(old), len(new)))]
    return "".join([f"--- {name_a}\n+++ {name_b}\n", *hunks]) if hunks else ""


def _changes(pairs: list[tuple[int, int]], size_a: int, size_b: int) -> Iterator[Change]:
    from_a = from_b = 0
    for at_a, at_b in [*pairs, (size_a, size_b)]:
        if (from_a, from_b) != (at_a, at_b):
            yield from_a, at_a, from_b, at_b
        from_a, from_b = at_a + 1, at_b + 1


def _together(changes: Iterator[Change]) -> Iterator[list[Change]]:
    """Yield the changes of each hunk: those whose context overlaps."""
    hunk: list[Change] = []
    for change in changes:
        if hunk and change[0] - hunk[-1][1] > 2 * _CONTEXT:
            yield hunk
            hunk = []
        hunk.append(change)
    if hunk:
        yield hunk


def _hunk(old: list[str], new: list[str], changes: list[Change]) -> str:
    before = min(_CONTEXT, changes[0][0])
    after = min(_CONTEXT, len(old) - changes[-1][1])
    start_a, start_b = changes[0][0] - before, changes[0][2] - before
    end_a, end_b = changes[-1][1] + after, changes[-1][3] + after
    lines = [f"@@ -{_range(start_a, end_a)} +{_range(start_b, end_b)} @@\n"]
    at = start_a
    for from_a, to_a, from_b, to_b in changes:
        lines += [_line(" ", line) for line in old[at:from_a]]
        lines += [_line("-", line) for line in old[from_a:to_a]]
        lines += [_line("+", line) for line in new[from_b:to_b]]
        at = to_a
    return "".join(lines + [_line(" ", line) for line in old[at:end_a]])


def _range(start: int, end: int) -> str:
    """Return first line and count in the format of `diff -u`: an empty range gives the line before it."""
    count = end - start
    first = start + (count > 0)
    return str(first) if count == 1 else f"{first},{count}"


def _line(sign: str, line: str) -> str:
    return f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"
