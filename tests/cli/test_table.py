"""Tables and long lines of every command, in terminals of several widths."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
from itertools import pairwise

import pytest

from resnetgen.cli import table
from resnetgen.cli.table import Table, print_wrapped, terminal_width
from support.helpers import Run

COMMANDS = (
    "summary resnet50",
    "summary timm/seresnextaa201d_32x8d",
    "list",
    "runtimes",
    "diff resnet50 resnet50_v1_5",
    "build tiny.yaml --target onnx --target caffe --verify",
    "verify tiny.yaml",
    "verify tiny.yaml --layers",
    "weights show generated/tiny/tiny.caffemodel",
)
NUMBER = re.compile(r"\d(?:[\d,.]*\d)?")


def faults(wide: str, narrow: str, width: int) -> list[str]:
    """Return what is wrong with a narrow print of a text: long lines, numbers that are not in `wide`, split words."""
    lines = narrow.splitlines()
    found = [f"too wide: {line}" for line in lines if len(line) > width]
    numbers = {*NUMBER.findall(wide), str(width)}
    found += [f"cut: {number}" for line in lines for number in NUMBER.findall(line) if number not in numbers]
    single = [len(line.split()) == len("".join(line.split())) == 1 for line in lines]
    found += ["one letter a line" for two in pairwise(single) if all(two)]
    return found


def test_every_table_fits(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in COMMANDS:
        wide = run(*command.split())
        for width in (120, 80, 60):
            with monkeypatch.context() as patch:
                patch.setenv("COLUMNS", str(width))
                narrow = run(*command.split())
            assert (wide.code, wide.err) == (narrow.code, narrow.err)
            assert faults(wide.out, narrow.out, width) == [], (command, width)


ROW = ("conv2_x/0/main/conv1", "1,234,567", "a text of several words, in a column that may be wrapped")


def printed(capsys: pytest.CaptureFixture[str], *columns: str, **options: tuple[str, ...]) -> str:
    shown = Table(*columns, **options)
    shown.add_row(*ROW)
    shown.print()
    return capsys.readouterr().out


def test_what_is_wrong_is_seen(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the test above."""
    wide = printed(capsys, "name", ">count", "text")
    monkeypatch.setenv("COLUMNS", "40")
    assert faults(wide, printed(capsys, "name", ">count", "text", optional=("text",)), 40) == []
    assert {fault.split(":")[0] for fault in faults(wide, wide, 40)} == {"too wide"}
    narrow = printed(capsys, "name", "count", "text", optional=("text",))
    assert faults(wide, narrow.replace("1,234,567", "1,234,"), 40) == ["cut: 1,234"]
    monkeypatch.setattr(table, "_MIN_TEXT", 1)
    monkeypatch.setenv("COLUMNS", "1")
    split = printed(capsys, "name", "", "", optional=("",))
    assert "one letter a line" in faults(split, split, 40)


def test_columns_are_left_out_in_their_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}
    for width in (120, 54, 53, 31, 30, 5):
        monkeypatch.setenv("COLUMNS", str(width))
        shown = printed(capsys, "name", ">count", "text", optional=("text", "count"))
        left_out = " ".join(shown.split()).partition(f"left out at {width} columns: ")[2]
        seen[width] = (shown.splitlines()[0].split(), left_out)
    everything = (["name", "count", "text"], "")
    without_text = (["name", "count"], "text")
    without_both = (["name"], "text, count")
    assert seen == {
        120: everything,
        54: everything,
        53: everything,
        31: without_text,
        30: without_both,
        5: without_both,
    }


def test_json_does_not_depend_on_the_width(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("build", "tiny.yaml").code == 0
    for command in ("summary resnet50", "list", "runtimes", "diff resnet50 resnet50_v1_5", "verify tiny.yaml"):
        wide = run(*command.split(), "--json")
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", "20")
            narrow = run(*command.split(), "--json")
        assert (narrow.code, narrow.err, len(narrow.out)) == (wide.code, wide.err, len(wide.out))
        # Not the texts: two nodes that ONNX Runtime inserts, ReorderOutput, now and then exchange their names.
        assert json.loads(narrow.out) == json.loads(wide.out)
        assert json.loads(wide.out)


def test_wide_characters_take_two_cells(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Table("name", ">count")
    shown.add_row("残差", "1")
    shown.add_row("abcd", "2")
    shown.add_row("e\u0301f", "3")
    shown.print()
    _, _, *rows = capsys.readouterr().out.splitlines()
    assert rows == ["残差      1", "abcd      2", "e\u0301f        3"]


def test_lines_are_wrapped_between_words(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    print_wrapped("  one two three four five six seven\nshort\n" + "x" * 50)
    assert capsys.readouterr().out.splitlines() == [
        "  one two three four five",
        "      six seven",
        "short",
        "x" * 26,
        "    " + "x" * 24,
    ]


@pytest.mark.parametrize(("columns", "width"), [("80", 80), ("0", None), ("-3", None), ("wide", None), ("", None)])
def test_width(columns: str, width: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal_width() == width


def test_width_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl
    import struct
    import termios

    monkeypatch.delenv("COLUMNS", raising=False)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 67, 0, 0))
    with os.fdopen(slave, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        assert terminal_width() == 67
    os.close(master)
