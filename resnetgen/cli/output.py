"""Standard streams: all output is printed here, escaped, and errors of the streams are handled.

- A reader that has gone (`| head -1`) is not an error: the rest is dropped, and the exit code is that of the work.
- A stdout that is closed, full or broken is exit 5, since the output of the command is lost. A command that has
  published files has done its work: it warns on stderr that its report is lost, and exits with 0.
- Errors of stderr are ignored and do not change the exit code.
- With --quiet nothing is written to stdout; errors and warnings stay on stderr, and the exit code is the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from resnetgen.cli.interrupts import INTERRUPTED, was_interrupted
from resnetgen.escape import escape

if TYPE_CHECKING:
    from resnetgen.errors import Failure

MAX_LINE = 10_000
"""Limit in characters of a printed line; `print_json` and `print_for_program` have none."""

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Drop what is printed to stdout from now on, or print it again."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Return True if the command line being run has --quiet."""
    return _quiet


def open_streams() -> None:
    """Make the standard streams usable, whatever their state.

    A closed descriptor is opened on the null device: otherwise the next opened file would take its number, and receive
    what is printed. Printing to a closed stdout still fails, as it should; output to a closed stderr is dropped.
    Characters that a stream's encoding lacks become escapes.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number, which is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_line(text: str = "", limit: int = MAX_LINE) -> None:
    """Print one line to stdout. Raises Failure (exit 5) if it cannot be written."""
    _write(f"{escape(text, limit)}\n")


def print_lines(text: str) -> None:
    """Print a text of several lines. Raises Failure as `print_line`."""
    for line in text.split("\n"):
        print_line(line)


def print_json(value: Any) -> None:
    """Print a value as JSON, whose strings are escaped by its own rules. Raises Failure as `print_line`."""
    import json

    _write(f"{json.dumps(value, indent=2)}\n")


def print_for_program(text: str) -> None:
    """Print one line of ASCII of any length, such as a request for a server. Raises Failure as `print_line`."""
    assert text.isascii()
    assert text.isprintable()
    _write(f"{text}\n")


def flush() -> None:
    """Flush stdout. Raises Failure (exit 5) if it cannot be written."""
    with _stdout_errors():
        sys.stdout.flush()


def print_error(text: str) -> None:
    """Print lines to stderr. Errors of stderr are ignored."""
    with suppress(OSError):
        print("\n".join(map(escape, text.split("\n"))), file=sys.stderr, flush=True)


def print_warnings(lines: Iterable[str]) -> None:
    """Print warnings to stderr."""
    for line in lines:
        print_error(f"warning: {escape(line)}")


def can_print(text: str) -> bool:
    """Return True if the encoding of stdout has all characters of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _write(text: str) -> None:
    if _quiet:
        return
    with _stdout_errors():
        sys.stdout.write(text)


@contextmanager
def _stdout_errors() -> Iterator[None]:
    """Turn an error of stdout into a Failure (exit 5); if the reader has gone, drop the rest of the output."""
    try:
        yield
    except BrokenPipeError:
        drop_output()
    except OSError as error:
        from resnetgen.errors import Code, FileError

        raise FileError.of(Code.OUTPUT, f"the output cannot be written: {error.strerror}") from None


def drop_output() -> None:
    """Send the rest of the output, and what stdout has buffered, to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def print_failure(error: BaseException) -> int:
    """Print an error to stderr and return its exit code: a Failure's own, 5 for the system, 6 for memory, 70 a bug."""
    if was_interrupted(error):
        print_error("interrupted; nothing was left half-written")
        return INTERRUPTED
    from resnetgen.cli.exits import exit_code
    from resnetgen.errors import Failure

    failure = error if isinstance(error, Failure) else _as_failure(error)
    print_error(str(failure))
    return exit_code(failure)


def _as_failure(error: BaseException) -> Failure:
    """Return the Failure for an error of Python, of the system or of a library."""
    from resnetgen.errors import Code, FileError, InternalError, LimitError, UsageError

    match error:
        case MemoryError():
            message = f"there is not enough memory{f': {error}' if str(error) else ''}"
            return LimitError.of(Code.LIMIT, message, hint="ask for less at once: a smaller --batch or --input")
        case OSError():  # a failing disk or a vanished folder: not a bug
            where = f"{error.filename}: " if error.filename else ""
            return FileError.of(Code.OUTPUT, f"{where}{error.strerror or error}")
        case RuntimeError() if "start new thread" in str(error):
            message = "no thread can be started: the system allows no more of them, or there is no memory for it"
            return LimitError.of(Code.LIMIT, message, hint="ulimit -u, ulimit -v")
        case ImportError() if not (error.name or "").startswith("resnetgen"):
            message = f"a library cannot be loaded: {error}"
            hint = "it is broken, missing, or there is no memory for it: install resnetgen anew"
            return UsageError.of(Code.UNSUPPORTED, message, hint=hint)
    hint = "this is a bug of resnetgen; --debug shows where. Please report it with the spec"
    return InternalError.of(Code.BUG, f"{type(error).__name__}: {error}", hint=hint)
