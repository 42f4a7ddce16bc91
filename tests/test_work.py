"""The count of work that tests have in place of seconds (tests/support/work.py)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resnetgen.wire import access
from support import work
from support.work import TooMuchWork, count_bytes, count_lines, lines_run, wait_until


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


def test_what_never_holds_is_waited_for_no_longer_than_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "PATIENCE", 0)
    wait_until(lambda: True)
    with pytest.raises(AssertionError, match="it hangs"):
        wait_until(lambda: False)


# Memory


def test_bytes_are_counted_as_they_are_asked_for(tmp_path: Path) -> None:
    """A read asks for as many as it may give, however short the file."""
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    file = access.Ranges(path)
    with count_bytes() as asked:
        np.zeros((2, 5), np.float32)
        assert np.empty(3).shape == (3,)
        assert len(file.bytes(0, 900)) == 900
        with file.open() as opened:
            assert len(opened.read(5000)) == 1000
            opened.seek(0)
            assert len(opened.read()) == 1000
    assert (asked.total, asked.largest) == (40 + 24 + 900 + 5000 + 1000, 5000)


def test_too_many_bytes_are_not_taken() -> None:
    with pytest.raises(TooMuchWork, match="8,000,000,000,000 bytes were asked for"), count_bytes(1 << 20):
        np.empty(10**12)
