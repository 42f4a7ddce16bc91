"""Input files: opened without waiting, and read up to a stated limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK
from typing import BinaryIO

from resnetgen.errors import Code, Failure, FileError, LimitError, Span

_CHUNK = 1 << 20
_KINDS = (
    (S_ISDIR, "a folder"),
    (S_ISFIFO, "a pipe"),
    (S_ISCHR, "a device"),
    (S_ISBLK, "a device"),
    (S_ISSOCK, "a socket"),
)


def open_input(path: Path, shown: str | None = None, span: Span | None = None) -> BinaryIO:
    """Open a regular file for reading bytes.

    A pipe or a device is refused before a byte is read, since it may never give one. `shown` is the name in errors,
    `span` the place of another file that names this one. Raises FileError for a file that is missing, not
    readable or not regular.
    """
    name = shown or str(path)
    try:
        _require_regular(os.stat(path).st_mode, name, span)
        # It may have become a pipe in between: opening does not wait for a writer, and the open file is checked again.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            _require_regular(os.fstat(descriptor).st_mode, name, span)
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL, or one that the file system cannot encode
        raise read_failure(name, error, span) from None


def read_bytes(path: Path, limit: int, kind: str, shown: str | None = None, span: Span | None = None) -> bytes:
    """Return the content of a file of at most `limit` bytes; `kind` names the file's kind in an error.

    No more than the limit is ever read. Raises Failure: exit 5 like `open_input` and if reading fails, exit 6 above the
    limit.
    """
    name = shown or str(path)
    with open_input(path, shown, span) as file:
        try:
            data = b"".join(_chunks(file, limit + 1))
        except OSError as error:
            raise read_failure(name, error, span) from None
    if len(data) > limit:
        raise LimitError.of(Code.LIMIT, f"{name} is larger than {limit:,} bytes, the limit for {kind}", span)
    return data


def _chunks(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """Yield at most `limit` bytes in pieces: one read takes memory for all of them, however short the file."""
    while limit and (chunk := file.read(min(limit, _CHUNK))):
        limit -= len(chunk)
        yield chunk


def read_text(path: Path, limit: int, kind: str) -> str:
    """Return the text of a UTF-8 file, without its byte order mark.

    Raises Failure like `read_bytes`, and exit 5 for text that is not UTF-8.
    """
    try:
        return read_bytes(path, limit, kind).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 text: byte {error.start:,} cannot be read"
        raise FileError.of(Code.NOT_TEXT, message, hint="save it as UTF-8 text") from None


def read_failure(name: str, error: OSError | ValueError, span: Span | None = None) -> Failure:
    """Return the FileError of a file that cannot be opened or read."""
    if isinstance(error, FileNotFoundError):
        hint = "the path is relative to the file that names it" if span else ""
        return FileError.of(Code.MISSING_FILE, f"no such file: {name}", span, hint)
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    return FileError.of(Code.MISSING_FILE, f"cannot read {name}: {reason}", span)


def special_kind(mode: int) -> str | None:
    """Return the word for a folder, pipe, device or socket by its mode; None for a file or a link."""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), None)


def _require_regular(mode: int, name: str, span: Span | None) -> None:
    if S_ISREG(mode):
        return
    kind = special_kind(mode) or "something else"
    hint = "" if S_ISDIR(mode) else "save its content to a file, and name that"
    raise FileError.of(Code.MISSING_FILE, f"cannot read {name}: it is {kind}, not a file", span, hint)
