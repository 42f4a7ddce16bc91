"""Errors: their place (Source, Span), text (Problem), and classes (Failure)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from itertools import islice
from typing import Self

from msgspec import Struct, field

from resnetgen.escape import escape


class Code(StrEnum):
    """Codes of all errors that a user can meet. Each has a golden pair in tests/errors/."""

    # The file
    MISSING_FILE = "missing-file"
    NOT_TEXT = "not-text"
    EMPTY_SPEC = "empty-spec"
    UNKNOWN_SPEC = "unknown-spec"
    # YAML and JSON
    YAML_SYNTAX = "yaml-syntax"
    YAML_FEATURE = "yaml-feature"
    JSON_SYNTAX = "json-syntax"
    DUPLICATE_KEY = "duplicate-key"
    # The shape of the document
    UNKNOWN_KEY = "unknown-key"
    MISSING_KEY = "missing-key"
    WRONG_TYPE = "wrong-type"
    BAD_NAME = "bad-name"
    EXTENDS_CYCLE = "extends-cycle"
    BAD_PATCH = "bad-patch"
    # Rows and expressions
    ROW_SYNTAX = "row-syntax"
    UNKNOWN_BLOCK = "unknown-block"
    UNKNOWN_OP = "unknown-op"
    BAD_ARGUMENT = "bad-argument"
    UNKNOWN_PARAMETER = "unknown-parameter"
    BAD_VALUE = "bad-value"
    RECURSION = "recursion"
    # The network
    SIZE_MISMATCH = "size-mismatch"
    SHAPE_MISMATCH = "shape-mismatch"
    BAD_GROUPS = "bad-groups"
    NAME_MAP = "name-map"
    # Targets and files
    UNSUPPORTED = "unsupported"
    BAD_MODEL = "bad-model"
    BAD_IMAGE = "bad-image"
    LABELS = "labels"
    WEIGHTS = "weights"
    PRECISION = "precision"
    PROTOTXT_SYNTAX = "prototxt-syntax"
    OUTPUT = "output"
    LIMIT = "limit"
    VERIFICATION = "verification"
    PROVIDER = "provider"
    BUG = "bug"


class Source(Struct, frozen=True, dict=True):
    """A text that errors refer to: the file's name as the user wrote it, and its content."""

    name: str
    text: str

    def __repr__(self) -> str:
        return f"Source({self.name!r})"

    @cached_property
    def line_starts(self) -> list[int]:
        return [0, *(i + 1 for i, character in enumerate(self.text) if character == "\n")]

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of a character offset, both counted from 1."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        start = self.line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else None].rstrip("\r")


class Span(Struct, frozen=True):
    """Characters start to end (exclusive) of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    def within(self, start: int, end: int) -> Span:
        """Return the span of characters start to end, counted from the start of this span."""
        return Span(self.source, self.start + start, max(self.start + end, self.start + start + 1))

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}"

    @property
    def short(self) -> str:
        """Return resnet50.yaml:8, without the folder, so that models do not depend on it."""
        return str(self).replace("\\", "/").rpartition("/")[2]


class Problem(Struct, frozen=True):
    """One fault: a code, a message that names it, and a hint with advice."""

    code: Code
    message: str
    span: Span | None = None
    hint: str = ""
    notes: tuple[str, ...] = ()

    @property
    def line(self) -> int | None:
        """Line of the fault, counted from 1; None if it has no place in a text."""
        return self.span.line if self.span else None

    @property
    def column(self) -> int | None:
        """Column of the fault, counted from 1; None if it has no place in a text."""
        return self.span.column if self.span else None

    def render(self, hinted: bool = True) -> str:
        """Return the text for a person: place, code, message; the line and a caret; notes and the hint.

        `hinted` is False if another problem has the same hint.
        """
        place = f"{self.span.source.name}:{self.span.line}:{self.span.column}: " if self.span else ""
        lines = [f"{place}error[{self.code}]: {self.message}"]
        if self.span and self.span.source.text:
            lines += self._excerpt(self.span)
        lines += [f"  note: {note}" for note in self.notes]
        if self.hint and hinted:
            lines.append(f"  hint: {self.hint}")
        # A library's message may have several lines, or quote a whole file.
        return "\n".join(escape(line.replace("\t", " ")) for text in lines for line in text.split("\n"))

    @staticmethod
    def _excerpt(span: Span) -> list[str]:
        text = span.source.line(span.line)
        before = span.column - 1
        # A long line is cut to the part around the fault; eighty characters are enough to recognise a row.
        cut = max(0, before - 60) if len(text) > 100 else 0
        shown = text[cut : cut + 100].replace("\t", " ")
        at = before - cut
        # An escape is longer than its character, so the marks are as long as the shown text.
        indent, marked = (len(escape(part)) for part in (shown[:at], shown[at : at + span.end - span.start]))
        number = f"{span.line:>5} | "
        return [f"{number}{shown}", " " * (len(number) - 2) + "| " + " " * indent + "^" * max(1, marked)]


_MAX_SHOWN = 50
"""Limit of problems shown for one failure; the rest are counted."""


class Failure(Exception):
    """Error that ends the work, with every problem that was detected. Its subclasses are raised."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    @classmethod
    def of(cls, code: Code, message: str, span: Span | None = None, hint: str = "") -> Self:
        """Return an error with one problem; the caller raises it: `raise SpecError.of(...)`."""
        return cls((Problem(code, message, span, hint),))

    def __str__(self) -> str:
        shown = self.problems[:_MAX_SHOWN]
        hints = [problem.hint for problem in shown]
        lines = [problem.render(hinted=hints.index(problem.hint) == at) for at, problem in enumerate(shown)]
        more = len(self.problems) - _MAX_SHOWN
        return "\n".join([*lines, f"... and {more:,} more"] if more > 0 else lines)


class UsageError(Failure):
    """Arguments that cannot be used, or exclude each other."""


class SpecError(Failure):
    """Spec with a mistake, or a network that a format cannot express."""


class ModelError(Failure):
    """Weight file or model file that is damaged, unsupported, or of another network."""


class FileError(Failure):
    """File that cannot be read or written."""


class LimitError(Failure):
    """Input that is larger than a documented limit."""


class VerificationError(Failure):
    """Files that do not compute what they should."""


class InternalError(Failure):
    """Bug of resnetgen."""


SEVERITY = (UsageError, SpecError, ModelError, FileError, LimitError, VerificationError, InternalError)
"""Classes of errors: of several, the last one is raised for all."""


class Problems(Struct):
    """Collector of the problems of a spec, so that all are shown at once."""

    found: list[Problem] = field(default_factory=list)

    def add(self, code: Code, message: str, span: Span | None = None, hint: str = "") -> None:
        self.found.append(Problem(code, message, span, hint))

    def __enter__(self) -> Problems:
        """Enter a block (`with problems:`) that a spec's Failure leaves; it is kept for later."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, SpecError):
            self.found.extend(error.problems)
            return True
        return False

    def raise_if_any(self) -> None:
        if self.found:
            unique = tuple(dict.fromkeys(self.found))
            raise SpecError(tuple(sorted(unique, key=_place)))


def _place(problem: Problem) -> tuple[str, int]:
    return (problem.span.source.name, problem.span.start) if problem.span else ("", 0)


_MAX_CHOICES = 200
_MAX_LISTED = 24


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt word: the nearest of the (first 200) known ones; else all, or the first of many."""
    from difflib import get_close_matches  # imported only for an error

    choices = sorted(islice(known, _MAX_CHOICES))
    near = get_close_matches(word, choices, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = ", ..." if len(choices) > _MAX_LISTED else ""
    return f"known: {', '.join(choices[:_MAX_LISTED])}{more}" if choices else ""
