"""Report on published files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from resnetgen.cli.output import drop_output, flush, print_warnings
from resnetgen.cli.table import print_wrapped

if TYPE_CHECKING:
    from pathlib import Path


@contextmanager
def report_on_files() -> Iterator[None]:
    """Context for printing the list of published files: since the files are in place, a lost report is only a
    warning."""
    from resnetgen.errors import Failure

    try:
        yield
        flush()
    except Failure as failure:
        drop_output()
        message = failure.problems[0].message
        print_warnings([f"{message}; all files are in place, but this report on them is lost"])


def format_bytes(count: int) -> str:
    """Return a size in bytes, KiB, MiB or GiB, with one decimal: 31.7 KiB."""
    if count < 1024:
        return f"{count} bytes"
    steps = min(3, (count.bit_length() - 1) // 10)
    return f"{count / 1024**steps:.1f} {('KiB', 'MiB', 'GiB')[steps - 1]}"


def print_file(path: Path, count: int, sha256: str) -> None:
    """Print the line of a published file: its path, its size in bytes and the first half of its digest."""
    print_wrapped(f"{path}  {format_bytes(count)}  sha256 {sha256[:16]}")
