"""Files that a spec extends or uses: each is read once, and their total size is limited."""

from __future__ import annotations

from pathlib import Path

from resnetgen.errors import Code, LimitError, Source, Span
from resnetgen.paths import absolute_path
from resnetgen.spec.yaml import (
    MAX_BYTES,
    MAX_VALUES,
    Mapping,
    Scalar,
    Sequence,
    Value,
    checked_text,
    parse,
    read_source,
)

MAX_FILES = 256
"""Limit of entries of `extends` and `use`, repeated ones included."""
MAX_TEXT = 50_000
"""Limit of characters of values, most of them rows: parsing takes up to 25 microseconds for each."""


class Sources:
    """Files that were read for one spec."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[Source, Mapping]] = {}
        self._entries = 0
        self._totals = {"bytes": 0, "values": 0, "characters of rows and other values": 0}

    def add(self, path: Path, source: Source) -> None:
        """Use a text in place of the file of a path. Raises Failure like `read`."""
        size = len(source.text.encode(errors="surrogatepass"))
        if size > MAX_BYTES:
            message = f"{source.name} has {size:,} bytes, the limit of a spec is {MAX_BYTES:,}"
            raise LimitError.of(Code.LIMIT, message)
        document = parse(checked_text(source))
        self._count(source, document, None)
        self._read[absolute_path(path)] = source, document

    def read(self, path: Path, shown: str | None, named: Span | None) -> tuple[Source, Mapping]:
        """Return the text of a file and its document; `named` is the entry that names it.

        Raises Failure: exit 3 or 5 like `read_source` and `parse`, exit 6 above a limit.
        """
        self._entries += 1
        if self._entries > MAX_FILES:
            message = f"a spec uses more than {MAX_FILES} files"
            raise LimitError.of(Code.LIMIT, message, named, "a file that is listed twice counts twice")
        key = absolute_path(path)
        if key not in self._read:
            source = read_source(path, shown, named)
            document = parse(source)
            self._count(source, document, named)
            self._read[key] = source, document
        return self._read[key]

    def _count(self, source: Source, document: Mapping, named: Span | None) -> None:
        values, text = _size(document)
        for unit, more, limit in zip(
            self._totals, (len(source.text.encode()), values, text), (MAX_BYTES, MAX_VALUES, MAX_TEXT), strict=True
        ):
            self._totals[unit] += more
            if self._totals[unit] > limit:
                first = next(iter(self._read.values()), (source, document))[0]
                message = f"{first.name}, with the files that it uses, has more than {limit:,} {unit}"
                raise LimitError.of(Code.LIMIT, message, named, "split the network into several specs")


def _size(value: Value) -> tuple[int, int]:
    """Return the number of values, and of their characters without those of keys."""
    match value:
        case Scalar(text):
            return 1, len(text)
        case Sequence(items):
            sizes = [_size(item) for item in items]
        case Mapping():
            sizes = [_size(item) for _, item in value]
    return 1 + sum(count for count, _ in sizes), sum(text for _, text in sizes)
