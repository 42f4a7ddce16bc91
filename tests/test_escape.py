"""Text from files and names on a terminal: escaped, on one line, and not longer than a screen."""

from __future__ import annotations

import sys

import pytest

from resnetgen.errors import Code, Problem, Source, Span
from resnetgen.escape import MAX_SHOWN, escape


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 3x3 — Größe 日本", "plain text, 3x3 — Größe 日本"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\rb\nc\td\x07e\0f", r"a\rb\nc\td\x07e\x00f"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u2028b\u2029c\u0085d", r"a\u2028b\u2029c\x85d"),
        ("\udcff", r"\xff"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
        (r"C:\net", r"C:\net"),
    ],
)
def test_what_is_not_printable_is_an_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_every_character_comes_out_printable() -> None:
    for number in range(sys.maxunicode + 1):
        assert escape(chr(number)).isprintable(), hex(number)


def test_a_long_text_is_cut_and_its_length_said() -> None:
    assert escape("a" * MAX_SHOWN) == "a" * MAX_SHOWN
    assert escape("a" * 10_000_000) == "a" * MAX_SHOWN + "... (10,000,000 characters)"
    assert escape("abcdef", limit=3) == "abc... (6 characters)"


def test_the_mark_stands_under_what_is_shown() -> None:
    text = "a: \x1b\x1b b"
    shown = Problem(Code.BAD_VALUE, "bad", Span(Source("net.yaml", text), 6, 7)).render().splitlines()
    assert shown[1] == r"    1 | a: \x1b\x1b b"
    assert shown[1][shown[2].index("^")] == "b"
