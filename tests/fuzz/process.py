"""The program in this process: its streams are files, and nothing else may come out of it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetgen.cli import group, main
from resnetgen.cli.exits import Exit
from resnetgen.cli.output import print_failure

_STARTS = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"),
    *("os.spawn", "os.fork", "os.forkpty", "pty.spawn"),
)
"""Audit events of a program that is started."""
_started: list[str] = []
"""Programs that were started while one was watched for."""
_failures: list[Exception] = []
"""Those that the program turned into a text and an exit code."""
_watching = False
_MAX_OUTPUT = 1 << 20


@dataclass(frozen=True)
class Done:
    code: int
    out: bytes
    err: bytes
    """What went to the descriptors: by Python's streams or past them, as libraries of C++ write."""
    started: tuple[str, ...]
    """Programs that were started, by the names of the audit events."""
    raised: Exception | None
    """Behind an exit code of 70."""


def run(line: Sequence[str], folder: Path, streams: Path) -> Done:
    """Run a command line in `folder`, its output caught in `streams`. Raises whatever the program does not catch."""
    global _watching
    _started.clear()
    _failures.clear()
    out, err = streams / "out", streams / "err"
    before = os.getcwd()
    code = 0
    with _redirected(out, err):
        os.chdir(folder)
        _watching = True
        try:
            main(list(line), prog_name="resnetgen")
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else int(leave.code is not None)
        finally:
            _watching = False
            os.chdir(before)
    raised = _failures[-1] if code == Exit.BUG and _failures else None
    return Done(code, _read(out), _read(err), tuple(_started), raised)


@contextlib.contextmanager
def _redirected(out: Path, err: Path) -> Iterator[None]:
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [(number, os.dup(number)) for number in (1, 2)]
    python = sys.stdout, sys.stderr
    try:
        for number, path in ((1, out), (2, err)):
            target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(target, number)
            os.close(target)
        with (
            os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as sys.stdout,
            os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as sys.stderr,
        ):
            yield
    finally:
        sys.stdout, sys.stderr = python
        for number, copy in saved:
            os.dup2(copy, number)
            os.close(copy)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAX_OUTPUT)


def _watch(event: str, _: tuple[Any, ...]) -> None:
    if _watching and event in _STARTS:
        _started.append(event)


def _print_failure(error: Exception) -> int:
    _failures.append(error)
    return print_failure(error)


sys.addaudithook(_watch)
group.print_failure = _print_failure
