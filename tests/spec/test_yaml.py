"""The YAML layer: values under YAML 1.2, and where each stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure, Source
from resnetgen.spec.yaml import MAX_DEPTH, Mapping, Scalar, Sequence, Value, parse, read_source


def value_of(text: str, key: str = "a") -> Value:
    value = parse(Source("net.yaml", text)).get(key)
    assert value is not None
    return value


def scalar_of(text: str, key: str = "a") -> Scalar:
    value = value_of(text, key)
    assert isinstance(value, Scalar)
    return value


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("NULL", None),
        ("nULL", "nULL"),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("false", False),
        ("False", False),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        # YAML 1.1 made these a boolean, 5400, 15 and 1000.
        ("NO", "NO"),
        ("yes", "yes"),
        ("off", "off"),
        ("1:30", "1:30"),
        ("017", 17),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("0", 0),
        ("-3", -3),
        ("+3", 3),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        # Numbers are decimal, and finite where they are numbers.
        ("0x10", "0x10"),
        ("0o17", "0o17"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("inf", "inf"),
        ("nan", "nan"),
        ("1e", "1e"),
        ("--1", "--1"),
        ("٣", "٣"),
        # Quotes make text.
        ("'3'", "3"),
        ('"3"', "3"),
        ("'null'", "null"),
        ("''", ""),
        ("'it''s'", "it's"),
        (r'"\x41\u00e9"', "Aé"),
        # Rows are plain text as far as YAML lets them be.
        ("56x56 | maxpool 3x3, /2 | (3x3, 64) x3", "56x56 | maxpool 3x3, /2 | (3x3, 64) x3"),
        ("7x7, 64 # the stem", "7x7, 64"),
        ("7x7,#64", "7x7,#64"),
        ("a:b", "a:b"),
    ],
)
def test_scalar(written: str, expected: object) -> None:
    value = scalar_of(f"a: {written}\n").value
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "word", "line", "column"),
    [
        pytest.param("a: 7x7, 64, foo\n", "foo", 1, 13, id="plain"),
        pytest.param("a: '7x7, 64, foo'\n", "foo", 1, 14, id="single quotes"),
        pytest.param('a: "7x7, 64, foo"\n', "foo", 1, 14, id="double quotes"),
        pytest.param("a: 7x7,\n   64,\n\n   foo\n", "foo", 4, 4, id="plain, several lines"),
        pytest.param("a: '7x7,\n     64, foo'\n", "foo", 2, 10, id="quoted, several lines"),
        pytest.param("a: >-\n  7x7,\n  64, foo\nb: 1\n", "foo", 3, 7, id="folded"),
        pytest.param("a: |\n  7x7,\n  64, foo\n", "foo", 3, 7, id="literal"),
        pytest.param("a: > # why\n\n  7x7, foo\n", "foo", 3, 8, id="folded, with a comment"),
        pytest.param("b: é×é\na: 7x7, foo\n", "foo", 2, 9, id="behind other alphabets"),
        pytest.param("b: 1\r\na: 7x7, foo\r\n", "foo", 2, 9, id="CRLF"),
        pytest.param("{b: 1, a: 7x7 | foo}", "foo", 1, 17, id="in braces"),
        pytest.param("? a\n: 7x7 | foo\n", "foo", 2, 9, id="explicit key"),
        # A character of the text that was an escape has no place of its own: the whole is shown.
        pytest.param("a: 'it''s foo'\n", "foo", 1, 4, id="escaped quote"),
        pytest.param('a: "\\x37x7, foo"\n', "foo", 1, 4, id="escape"),
    ],
)
def test_places(text: str, word: str, line: int, column: int) -> None:
    scalar = scalar_of(text)
    start = scalar.text.index(word)
    span = scalar.within(start, start + len(word))
    assert (span.line, span.column) == (line, column)
    assert text[span.start : span.end] == (word if span != scalar.span else text[scalar.span.start : scalar.span.end])


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: 7x7\n", 1, 7),
        ("a: '7x7'\n", 1, 8),
        ("a: '7x7 '\n", 1, 8),
        ("a: |\n  7x7\n\nb: 1\n", 2, 6),
    ],
)
def test_place_of_the_end(text: str, line: int, column: int) -> None:
    scalar = scalar_of(text)
    span = scalar.within(len(scalar.text), len(scalar.text) + 1)
    assert (span.line, span.column) == (line, column)


def test_an_empty_value_stands_at_its_key() -> None:
    text = "b: 1\na:\nc: 2\n"
    scalar = scalar_of(text)
    assert (scalar.value, text[scalar.span.start : scalar.span.end], scalar.span.line) == (None, "a", 2)


def test_containers() -> None:
    value = value_of("a:\n  - {x: 1, y: [2, 3]}\n  - z\n")
    assert isinstance(value, Sequence)
    first, last = value.items
    assert isinstance(first, Mapping)
    assert isinstance(last, Scalar)
    assert [key.text for key, _ in first] == ["x", "y"]
    assert (first.key("y").span.line, first.key("y").span.column) == (2, 12)
    assert (last.text, last.span.line, last.span.column) == ("z", 3, 5)


def test_depth() -> None:
    deepest = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert isinstance(value_of(deepest), Sequence)
    with pytest.raises(Failure) as caught:
        parse(Source("net.yaml", deepest.replace("[]", "[[]]")))
    assert exit_code(caught.value) is Exit.LIMIT


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfa: 1\n", "a: 1\n"),
        ("a: é\n".encode(), "a: é\n"),
        (b"a: 1\r\n\tb\n", "a: 1\r\n\tb\n"),
    ],
)
def test_read(data: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(data)
    assert read_source(path).text == text
    assert read_source(path).name == str(path)
    assert read_source(path, "shown").name == "shown"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"a: \xff\n", "net.yaml is not UTF-8 text: byte 3 cannot be decoded", id="Latin-1"),
        pytest.param("a: 1".encode("utf-16"), "net.yaml is not UTF-8 text: byte 0 cannot be decoded", id="UTF-16"),
        pytest.param(b"a: \0\n", "the character U+0000 is not allowed in a spec", id="NUL"),
        pytest.param(b"a: \x1b[31m\n", "the character U+001B is not allowed in a spec", id="escape"),
        pytest.param("a: \u202e1\n".encode(), "the character U+202E is not allowed in a spec", id="right to left"),
        pytest.param("a: \u20281\n".encode(), "the character U+2028 is not allowed in a spec", id="line separator"),
    ],
)
def test_not_text(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(data)
    with pytest.raises(Failure) as caught:
        read_source(path, "net.yaml")
    (problem,) = caught.value.problems
    assert (problem.code, problem.message) == (Code.NOT_TEXT, message)


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        read_source(tmp_path)
    assert exit_code(caught.value) is Exit.IO
