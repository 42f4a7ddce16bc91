"""The count of work that tests have in place of seconds (tests/support/work.py)."""

from __future__ import annotations

import pytest

from support.work import TooMuchWork, count_lines, lines_run


def loop(times: int) -> int:
    total = 0
    for _ in range(times):
        total += 1
    return total


def test_lines_are_counted() -> None:
    assert lines_run(lambda: loop(2000)) - lines_run(lambda: loop(1000)) == 2000


def test_lines_of_other_folders_are_not_counted() -> None:
    assert lines_run(lambda: loop(1000), "/nowhere/") == 0


def test_a_generator_and_a_comprehension_are_counted() -> None:
    for many in (lambda n: [2 * x for x in range(n)], lambda n: sum(x for x in range(n))):
        assert lines_run(lambda many=many: many(1000)) > lines_run(lambda many=many: many(500)) + 400


def test_too_much_work_ends_a_loop_that_handles_every_exception() -> None:
    def hang() -> None:
        while True:
            try:
                loop(10)
            except Exception:
                continue

    with pytest.raises(TooMuchWork, match="more than 1,000 lines"), count_lines(limit=1000) as lines:
        hang()
    assert lines.count == 1001
