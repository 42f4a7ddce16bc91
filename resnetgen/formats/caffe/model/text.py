"""Parser of protobuf's text format to a tree of fields with their places, by the grammar in prototxt.lark; it knows no
schema."""

from __future__ import annotations

from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from lark import Lark, Token
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from msgspec import Struct

from resnetgen.errors import Code, Failure, LimitError, ModelError, Source, Span
from resnetgen.inputs import read_bytes

MAX_BYTES = 16 << 20
"""Limit in bytes; a net of 20,000 nodes takes about 3 MB."""
MAX_DEPTH = 100
"""Limit of levels of nested messages, the same as protobuf's."""
MAX_WORDS = 1_500_000
"""Limit of words and signs, also in strings and comments. The largest net that is built, of 20,000 nodes, has fewer."""
MAX_LINES = 1_000_000
MAX_PATHS = 100_000_000
"""Limit of characters in the paths of all fields: their names and those of the messages around them."""
MAX_NAME = 1024
"""Limit of characters of the name of a field, and of a layer or a blob where layers are compared."""


class Kind(Enum):
    STRING = auto()
    NUMBER = auto()
    WORD = auto()


class TextScalar(Struct, frozen=True):
    """A string without quotes and escapes, a number as written, or a word: an enum's value, true, inf."""

    kind: Kind
    text: str


class Message(Struct, frozen=True):
    fields: tuple[TextField, ...]


class TextField(Struct, frozen=True):
    """One value of a field. A list, `dim: [1, 3]`, becomes a field for each value, like `dim: 1 dim: 3`.

    The span is that of the name.
    """

    name: str
    value: TextScalar | Message
    span: Span


def read(path: Path) -> Source:
    """Return the text of a prototxt. Raises Failure: exit 5 like `read_bytes`, exit 6 if it is too large, exit 4 for a
    binary file.

    Bytes that are not UTF-8 are allowed, as in Caffe: comments are written in many encodings.
    """
    data = read_bytes(path, MAX_BYTES, "a prototxt")
    if data.translate(None, _TEXT) != b"":
        hint = "a caffemodel holds the weights; name the .prototxt beside it"
        raise ModelError.of(Code.BAD_MODEL, f"{path} is a binary file, not a prototxt", hint=hint)
    _check_size(data, str(path))
    return Source(str(path), data.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))


_TEXT = bytes({*range(256)} - {*range(32), 127} | {*b"\t\n\v\f\r"})
"""Bytes that text consists of: all but control characters."""
_SIGNS = bytes({*range(33, 127)} - {*b"_./+-"} - {*range(48, 58), *range(65, 91), *range(97, 123)})
"""Visible ASCII characters that end a word: all but those inside numbers and the names of layers."""
_BLANKED = bytes(32 if byte <= 32 or byte in _SIGNS or byte == 127 else 97 for byte in range(256))
"""Byte -> a space, or an `a` if it belongs to a word."""


def _check_size(data: bytes, name: str) -> None:
    """Check the number of words and signs, and of lines, before parsing.

    Parsing takes microseconds and half a KB of memory for each word; its length costs next to nothing. Raises Failure
    (exit 6).
    """
    for count, limit, what in (
        (count_words(data), MAX_WORDS, "words and signs"),
        (data.count(b"\n"), MAX_LINES, "lines"),
    ):
        if count > limit:
            message = f"{name} has more than {limit:,} {what}, the limit for a prototxt"
            raise LimitError.of(Code.LIMIT, message)


def count_words(data: bytes) -> int:
    """Return the number of words and signs, which is at least that of the tokens."""
    signs = len(data) - len(data.translate(None, _SIGNS))
    return signs + (b" " + data.translate(_BLANKED)).count(b" a")


def parse(source: Source) -> Message:
    """Return the fields of a text. Raises Failure: exit 4 for a syntax error, exit 6 for too many words or levels."""
    _check_size(_bytes(source.text), source.name)
    try:
        fields: Any = _fields(source)
    except UnexpectedInput as error:
        raise _syntax_error(error, source) from None
    except _BadEscape as error:
        span = Span(source, error.at, error.at + 2)
        raise _error(
            f"{source.text[span.start : span.end]} is no escape", span, "a backslash is written \\\\"
        ) from None
    return _message(fields, source)


def _fields(source: Source) -> tuple[_Raw, ...]:
    """Feed the parser token by token, so that too deep nesting is refused as it is read."""
    parser: Any = _parser().parse_interactive(source.text)
    nesting, token = _Nesting(source), None
    try:
        for token in parser.lexer_thread.lex(parser.parser_state):
            parser.feed_token(token)
            nesting.count(token)
        fields: tuple[_Raw, ...] = parser.feed_eof(token)
        return fields
    except UnexpectedInput as error:
        error.interactive_parser = parser
        raise


class _Nesting:
    """Counter of open messages, and of the paths of fields in them: a long name may surround many fields."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.around = [0]
        """Characters of the path of each open message."""
        self.name = 0
        """Characters of the last name."""
        self.paths = 0

    def count(self, token: Token) -> None:
        """Count a token. Raises LimitError for too many levels, or characters in paths."""
        match token.type:
            case "NAME":
                self.name = len(token)
                self.paths += len(self.around) * (self.around[-1] + self.name)
                if self.paths > MAX_PATHS:
                    raise self._refused(token, f"the paths of the fields have more than {MAX_PATHS:,} characters")
            case "LBRACE" | "LESSTHAN":
                self.around.append(self.around[-1] + self.name)
                if len(self.around) > MAX_DEPTH + 1:
                    raise self._refused(token, f"messages are nested deeper than {MAX_DEPTH} levels")
            case "RBRACE" | "MORETHAN":
                self.around.pop()

    def _refused(self, token: Token, message: str) -> Failure:
        start = token.start_pos or 0
        return LimitError.of(Code.LIMIT, message, Span(self.source, start, start + len(token)))


@cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("prototxt.lark").read_text(encoding="utf-8")
    callbacks: Any = _Reductions()
    return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=False, transformer=callbacks)


class _Raw(NamedTuple):
    """A field before it has a source. Its value: a Scalar; a tuple, the fields of a message; a list of such values."""

    name: str
    start: int
    end: int
    value: Any


class _Reductions:
    """Callbacks of lark for each rule as it is parsed. Lark's own tree takes three times the memory."""

    def start(self, fields: list[_Raw]) -> tuple[_Raw, ...]:
        return tuple(fields)

    def message(self, fields: list[_Raw]) -> tuple[_Raw, ...]:
        return tuple(fields)

    def values(self, values: list[Any]) -> list[Any]:
        return values

    def field(self, children: list[Any]) -> _Raw:
        name, value = children
        return _Raw(str(name), name.start_pos, name.end_pos, value)

    def scalar(self, tokens: list[Any]) -> TextScalar:
        first = tokens[0]
        if first.type == "STRING":
            return TextScalar(Kind.STRING, b"".join(map(_unescaped, tokens)).decode("utf-8", "surrogateescape"))
        if first.type == "NUMBER":
            return TextScalar(Kind.NUMBER, "".join(first.split()))
        return TextScalar(Kind.WORD, str(first))


def _message(fields: tuple[_Raw, ...], source: Source) -> Message:
    """Return the message of fields whose depth is at most MAX_DEPTH; this function is recursive."""
    done: list[TextField] = []
    for raw in fields:
        span = Span(source, raw.start, raw.end)
        check_name(raw.name, span)
        for value in raw.value if isinstance(raw.value, list) else (raw.value,):
            done.append(TextField(raw.name, _message(value, source) if isinstance(value, tuple) else value, span))
    return Message(tuple(done))


def check_name(name: str, span: Span) -> None:
    """Raise LimitError for a name that is too long: it is repeated for everything that refers to it."""
    if len(name) > MAX_NAME:
        raise LimitError.of(Code.LIMIT, f"a name of more than {MAX_NAME:,} characters", span)


class _BadEscape(Exception):
    def __init__(self, at: int) -> None:
        self.at = at


def _unescaped(token: Token) -> bytes:
    """Return the bytes of a string literal."""
    text, out, at = token[1:-1], bytearray(), 0
    while (slash := text.find("\\", at)) >= 0:
        out += _bytes(text[at:slash])
        escape = _escape(text, slash + 1)
        if escape is None:
            raise _BadEscape((token.start_pos or 0) + 1 + slash)
        value, at = escape
        out += value
    return bytes(out + _bytes(text[at:]))


_SIMPLE = {sign: value.encode() for sign, value in zip("abfnrtv\\'\"?", "\a\b\f\n\r\t\v\\'\"?", strict=True)}
_NUMBERED = {"x": (1, 2), "X": (1, 2), "u": (4, 4), "U": (8, 8)}
"""Escape -> the smallest and largest number of its hexadecimal digits."""
_OCTAL = "01234567"
_HEX = "0123456789abcdefABCDEF"


def _escape(text: str, at: int) -> tuple[bytes, int] | None:
    """Return the bytes of the escape after the backslash before `at`, and where it ends; None if it is invalid."""
    sign = text[at]
    if sign in _SIMPLE:
        return _SIMPLE[sign], at + 1
    digits, base, least, most = _OCTAL, 8, 1, 3
    if sign in _NUMBERED:
        at, digits, base, (least, most) = at + 1, _HEX, 16, _NUMBERED[sign]
    end = at
    while end < min(len(text), at + most) and text[end] in digits:
        end += 1
    if end - at < least:
        return None
    number = int(text[at:end], base)
    if sign not in "uU":
        return (bytes([number]), end) if number < 256 else None
    is_character = number < 0xD800 or 0xDFFF < number < 0x110000
    return (chr(number).encode(), end) if is_character else None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_SHOWN = {"NAME": "a field", "COLON": ":", "LBRACE": "{", "RBRACE": "}", "MORETHAN": ">", "RSQB": "]", "COMMA": ","}
_CLOSE = {"LBRACE": "}", "LESSTHAN": ">", "LSQB": "]"}
"""Opening sign -> the sign that closes it."""


def _syntax_error(error: UnexpectedInput, source: Source) -> Failure:
    match error:
        case UnexpectedToken() if error.token.type == "$END":
            return _unfinished(error, source)
        case UnexpectedToken():
            at, found, terminals = error.token.start_pos or 0, str(error.token), error.accepts or error.expected
            if found in _CLOSE.values() and _last_open(error) is None:
                return _error(f"this {found} closes nothing", Span(source, at, at + 1))
        case _:
            assert isinstance(error, UnexpectedCharacters)
            at, terminals = error.pos_in_stream or 0, error.allowed or set()
            found = error.char if error.char.isspace() else source.text[at : at + 40].split()[0]
            if found[0] in "\"'":
                hint = f"close it with {found[0]} on the same line"
                return _error("a string that has no end", Span(source, at, at + 1), hint)
    # So many kinds of values are allowed that a list of them would not help.
    words = ["a value"] if "NUMBER" in terminals else [_SHOWN[name] for name in _SHOWN if name in terminals]
    hint = f"expected {' or '.join(words)}" if words else ""
    return _error(f"unexpected {found!r}", Span(source, at, at + len(found)), hint)


def _unfinished(error: UnexpectedToken, source: Source) -> Failure:
    """Return the error of a text that ends too early, at the brace that is not closed, if there is one."""
    if token := _last_open(error):
        span = Span(source, token.start_pos or 0, token.end_pos or 0)
        return _error(f"this {token} is never closed", span, f"a {_CLOSE[token.type]} is missing")
    end = len(source.text.rstrip())
    return _error("the file ends where a value is expected", Span(source, max(0, end - 1), end))


def _last_open(error: UnexpectedToken) -> Token | None:
    """Return the innermost brace or bracket that was open when the parser stopped."""
    stack = error.interactive_parser.parser_state.value_stack if error.interactive_parser else []
    return next((t for t in reversed(stack) if isinstance(t, Token) and t.type in _CLOSE), None)


def _error(message: str, span: Span, hint: str = "") -> Failure:
    return ModelError.of(Code.PROTOTXT_SYNTAX, message, span, hint)
