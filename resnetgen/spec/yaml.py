"""Parser of YAML 1.2 text to values with their places. Anchors, aliases, tags and duplicate keys are refused."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLStreamError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.reader import ReaderError

from resnetgen.errors import Code, Failure, LimitError, Problem, Source, Span, SpecError
from resnetgen.inputs import read_bytes

MAX_BYTES = 1 << 18
MAX_DEPTH = 32
MAX_VALUES = 20_000
"""Limit of texts, lists and mappings: each takes the YAML parser about 30 microseconds."""


class Scalar(Struct, frozen=True, dict=True):
    """A scalar as written. `plain` is False if it was quoted: then it is always a string."""

    text: str
    span: Span
    plain: bool

    @property
    def value(self) -> str | int | float | bool | None:
        """Value by YAML 1.2's core schema: `NO` is a string, `1:30` too, 017 is 17."""
        if not self.plain:
            return self.text
        if self.text in ("", "~", "null", "Null", "NULL"):
            return None
        if self.text in ("true", "True", "TRUE"):
            return True
        if self.text in ("false", "False", "FALSE"):
            return False
        for number in (int, float):
            # Python also reads 1_000, 'nan' and 'infinity'; the core schema does not.
            if self.text.isascii() and self.text.strip("+-.eE0123456789") == "" and any(map(str.isdigit, self.text)):
                try:
                    return number(self.text)
                except ValueError:
                    continue
        return self.text

    def within(self, start: int, end: int) -> Span:
        """Return the span of characters start to end of this scalar's text."""
        places = self._places
        if not places:
            return self.span
        first = places[start] if start < len(places) else places[len(self.text.rstrip()) - 1] + 1
        last = places[end - 1] + 1 if 0 < end <= len(places) else first + 1
        return self.span.within(first, last)

    @cached_property
    def _places(self) -> list[int] | None:
        return _places(self.text, self.span.source.text[self.span.start : self.span.end])


class Sequence(Struct, frozen=True):
    items: tuple[Value, ...]
    span: Span


class Mapping(Struct, frozen=True):
    items: dict[str, tuple[Scalar, Value]]
    """Key text -> the key with its place, and the value."""
    span: Span

    def get(self, key: str) -> Value | None:
        entry = self.items.get(key)
        return entry[1] if entry else None

    def key(self, key: str) -> Scalar:
        return self.items[key][0]

    def __iter__(self) -> Iterator[tuple[Scalar, Value]]:
        return iter(self.items.values())


Value: TypeAlias = Scalar | Sequence | Mapping


def _places(text: str, raw: str) -> list[int] | None:
    """Return the offset in the source of each character of a scalar's text; None if escapes hide them.

    YAML folds a scalar over several lines: a run of white space in the source becomes one space.
    """
    at = 1 if raw[:1] in ("'", '"') and not text.startswith(raw[:1]) else 0
    if raw[:1] in ("|", ">"):
        at = raw.find("\n")  # the header of a block scalar, `>-`, is not part of its text
    places = []
    for character in text:
        while at < len(raw) and raw[at] != character and raw[at].isspace():
            at += 1
        if at < len(raw) and raw[at] == character:
            places.append(at)
            at += 1
        elif character == " " and places:
            places.append(at - 1)
        else:
            return None
    return places


def read_source(path: Path, shown: str | None = None, named: Span | None = None) -> Source:
    """Return the text of a spec file. Raises Failure: exit 5 like `read_bytes`, exit 6 if it is too large, exit 3 if it
    is not UTF-8 text.

    `named` is the place of another file that names this one.
    """
    name = shown or str(path)
    data = read_bytes(path, MAX_BYTES, "a spec", shown, named)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "a spec is YAML; a model file is not a spec"
        message = f"{name} is not UTF-8 text: byte {error.start} cannot be decoded"
        raise SpecError.of(Code.NOT_TEXT, message, None, hint) from None
    return checked_text(Source(name, text))


def checked_text(source: Source) -> Source:
    """Return a spec's text. Raises SpecError for a character that is not printable."""
    text = source.text
    if (bad := next((i for i, c in enumerate(text) if not c.isprintable() and c not in "\n\r\t"), None)) is not None:
        message = f"the character U+{ord(text[bad]):04X} is not allowed in a spec"
        hint = "use plain spaces and line breaks; a model file is not a spec"
        raise SpecError.of(Code.NOT_TEXT, message, Span(source, bad, bad + 1), hint)
    return source


@lru_cache(maxsize=512)  # many specs in one process may use the same file
def parse(source: Source) -> Mapping:
    """Return the one YAML document of a spec. Raises SpecError with the place of the fault."""
    value = parse_value(source)
    if isinstance(value, Scalar) and value.value is None:
        hint = "a spec has at least `input:` and `stages:`"
        raise SpecError.of(Code.EMPTY_SPEC, f"{source.name} is empty", None, hint)
    if not isinstance(value, Mapping):
        message, hint = "a spec is a mapping of keys to values", "it has at least `input:` and `stages:`"
        raise SpecError.of(Code.WRONG_TYPE, message, value.span, hint)
    return value


def parse_value(source: Source) -> Value:
    """Return the value of any YAML text. Raises SpecError with the place of the fault."""
    try:
        return _Tree(source, YAML(typ="safe", pure=True).parse(source.text)).document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if error.context_mark and mark.index >= len(source.text.rstrip()):
            mark = error.context_mark  # the bracket that is not closed, rather than the end of the file
        span = Span(source, mark.index, mark.index + 1) if mark else None
        message = " ".join(filter(None, (error.context, error.problem)))
        before = source.text[: mark.index].rstrip()[-1:] if mark else ""
        if before and before in "]}'\"" and "expected" in message:
            message = f"text continues after {before!r}"
        raise SpecError.of(Code.YAML_SYNTAX, message, span, _syntax_hint(message)) from None
    except (ReaderError, YAMLStreamError) as error:
        raise SpecError.of(Code.YAML_SYNTAX, str(error).splitlines()[0], Span(source, 0, 1)) from None


def _syntax_hint(message: str) -> str:
    """Return a hint at the most frequent cause of a message of the parser."""
    for part, hint in _SYNTAX_HINTS.items():
        if part in message:
            return hint
    return _QUOTE


_QUOTE = "text that has another meaning in YAML must be quoted"
_SYNTAX_HINTS = {
    "mapping values are not allowed": "quote a value that contains ': '; keys of one mapping begin in one column",
    "text continues": "text that begins with [, { or a quote must be quoted as a whole",
    "\\t": "YAML is indented with spaces",
    "cannot start any token": "text that begins with this character must be quoted",
    "while scanning a quoted scalar": "the quote is not closed",
    "while scanning a block scalar": "text that begins with | or > must be quoted",
    "could not find expected ':'": "a key is followed by a colon and a space",
    "while parsing a flow": "the bracket is not closed, or a comma is missing",
}


class _Tree:
    """Builder of values from parser events. It refuses while reading: nothing is expanded before it is refused."""

    def __init__(self, source: Source, events: Iterator[Event]) -> None:
        self.source = source
        self.events = events
        self.depth = 0
        self.values = 0

    def document(self) -> Value:
        value: Value = Scalar("", Span(self.source, 0, 0), plain=True)
        documents = 0
        for event in self.events:
            match event:
                case StreamStartEvent() | DocumentEndEvent() | StreamEndEvent():
                    continue
                case DocumentStartEvent():
                    documents += 1
                    if event.version or event.tags:
                        raise self._directive()
                    if documents > 1:
                        raise self._refuse(event, "a second document", "write one spec per file")
                case _:
                    value = self.value(event)
        return value

    def _directive(self) -> Failure:
        lines = (self.source.line(number) for number in range(1, len(self.source.line_starts) + 1))
        start = next(at for at, line in zip(self.source.line_starts, lines, strict=True) if line.startswith("%"))
        message = "a directive is not allowed in a spec"
        return SpecError.of(Code.YAML_FEATURE, message, Span(self.source, start, start + 1), "a spec is YAML 1.2")

    def value(self, event: Event) -> Value:
        self.values += 1
        if self.values > MAX_VALUES:
            message = f"a file has more than {MAX_VALUES:,} values"
            raise LimitError.of(Code.LIMIT, message, self._span(event, event))
        if isinstance(event, AliasEvent):
            raise self._refuse(event, "an alias", "write the value out, or use `extends` or `params`")
        anchor: Any = getattr(event, "anchor", None)
        if anchor is not None:
            raise self._refuse(event, "an anchor", "write the value out, or use `extends` or `params`")
        if getattr(event, "ctag", None) is not None:
            raise self._refuse(event, "a tag", "values need no tag; quote what must be a string")
        match event:
            case ScalarEvent():
                return Scalar(event.value, self._span(event, event), plain=event.style is None)
            case SequenceStartEvent():
                return self.sequence(event)
            case MappingStartEvent():
                return self.mapping(event)
            case _:
                raise AssertionError(event)

    def sequence(self, start: Event) -> Sequence:
        self._enter(start)
        items = []
        for event in self.events:
            if isinstance(event, SequenceEndEvent):
                break
            items.append(self.value(event))
        self.depth -= 1
        return Sequence(tuple(items), self._span(start, start))

    def mapping(self, start: Event) -> Mapping:
        self._enter(start)
        items: dict[str, tuple[Scalar, Value]] = {}
        for event in self.events:
            if isinstance(event, MappingEndEvent):
                break
            key = self.value(event)
            self.values -= 1  # keys are counted with their values
            if not isinstance(key, Scalar):
                raise SpecError.of(Code.WRONG_TYPE, "a key is a text, not a list or a mapping", key.span, _QUOTE)
            if key.text == "<<" and key.plain:
                raise self._refuse(event, "a merge key", "use `extends`")
            if key.text in items:
                first = items[key.text][0].span
                problem = Problem(
                    Code.DUPLICATE_KEY,
                    f"the key {key.text!r} is in one mapping twice",
                    key.span,
                    "keep one of them",
                    (f"first at {first}:{first.column}",),
                )
                raise SpecError((problem,))
            value = self.value(next(self.events))
            if isinstance(value, Scalar) and value.plain and not value.text:
                value = Scalar("", key.span, plain=True)  # there is no text to point at
            items[key.text] = (key, value)
        self.depth -= 1
        return Mapping(items, self._span(start, start))

    def _enter(self, event: Event) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise LimitError.of(Code.LIMIT, f"nested deeper than {MAX_DEPTH} levels", self._span(event, event))

    def _span(self, first: Event, last: Event) -> Span:
        start: int = first.start_mark.index
        return Span(self.source, start, max(last.end_mark.index, start))

    def _refuse(self, event: Event, what: str, hint: str) -> Failure:
        return SpecError.of(Code.YAML_FEATURE, f"{what} is not allowed in a spec", self._span(event, event), hint)
