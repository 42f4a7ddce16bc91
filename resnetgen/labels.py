"""Names of the classes: a text with one label per line, in the order of the network's outputs."""

from __future__ import annotations

from pathlib import Path

from resnetgen.errors import Code, Failure, FileError, LimitError, Source, Span
from resnetgen.inputs import read_text

LABELS = "labels.txt"
_MAX_BYTES = 16 << 20
MAX_LABELS = 1_000_000
"""Largest number of labels: a network has no more channels."""


def read_labels(path: Path, classes: int, place: str) -> tuple[str, ...]:
    """Return one label for each class; `place` is where the number of `classes` is set. `classes` is 0 if it is
    unknown.

    Raises Failure: exit 6 for too many lines, exit 5 for a missing file, an empty line, an unprintable character, or a
    wrong number of labels. Servers load such files anyway, and answer with missing or wrong names; labels are shown on
    terminals, which control and direction characters would affect.
    """
    # Split at LF like servers; `splitlines` knows more ends of lines.
    text = read_text(path, _MAX_BYTES, "labels").replace("\r\n", "\n")
    if text.count("\n") > MAX_LABELS:
        message = f"{path} has more than {MAX_LABELS:,} lines, the limit for labels"
        raise LimitError.of(Code.LIMIT, message)
    lines = text.removesuffix("\n").split("\n") if text else []
    source = Source(str(path), text)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise _located(source, number, "a line without a label", "write one label per line, without empty lines")
        if not line.isprintable():
            raise _unprintable(source, number, line)
    if classes and len(lines) != classes:
        at = min(len(lines), classes + 1)
        message = f"{len(lines):,} labels for {classes:,} classes ({place})"
        raise _located(source, at, message, "write one label per line, in the order of the network's outputs")
    return tuple(lines)


def _unprintable(source: Source, number: int, line: str) -> Failure:
    """Return the Failure of the first control, format, direction or separator character of a line; a plain space is
    allowed."""
    from unicodedata import name

    at = next(at for at, character in enumerate(line) if not character.isprintable())
    code = f"U+{ord(line[at]):04X}"
    shown = f"{code} {name(line[at], '')}".rstrip()
    start = source.line_starts[number - 1] + at
    message = f"the label on line {number:,} contains {shown}, which cannot be printed"
    hint = "use printable characters and plain spaces only"
    return FileError.of(Code.LABELS, message, Span(source, start, start + 1), hint)


def _located(source: Source, line: int, message: str, hint: str) -> Failure:
    if not source.text:
        return FileError.of(Code.LABELS, f"{source.name}: {message}", hint=hint)
    start = source.line_starts[line - 1]
    return FileError.of(Code.LABELS, message, Span(source, start, start + len(source.line(line))), hint)
