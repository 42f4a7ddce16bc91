"""How costs are measured: in turn, in processes of their own."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from benchmarks.figure import Skipped

T = TypeVar("T")
P = ParamSpec("P")

PEERS = Path(__file__).with_name("peers")
TOOL = os.path.join(sysconfig.get_path("scripts"), "resnetgen")
"""The program as a user calls it."""
_SMALL = 64
"""MiB. Linux counts what a child shares with us before it begins for a part of its own peak."""


@dataclass(frozen=True)
class Bench:
    """How the suite is to run."""

    peer_python: str = sys.executable
    """A Python that may have PyTorch."""
    runs: int = 7
    """Rounds of whole processes; what takes less time than these runs for more rounds."""


@dataclass(frozen=True)
class Cost:
    seconds: float
    peak: float
    """MiB."""
    processor: float = 0
    """Seconds of the processor, of all threads."""


def in_turn(runners: Sequence[Callable[[], T]], rounds: int) -> list[tuple[T, ...]]:
    """What each runner found, round by round, after one run of each that is not counted.

    Each round begins with another one, so that none always runs behind the same.
    """
    for run in runners:
        run()
    count = len(runners)
    found: list[tuple[T, ...]] = []
    for first in range(rounds):
        order = [(first + i) % count for i in range(count)]
        by_runner = {i: runners[i]() for i in order}
        found.append(tuple(by_runner[i] for i in range(count)))
    return found


def columns(rounds: Sequence[tuple[T, ...]]) -> list[tuple[T, ...]]:
    """Runner by runner."""
    return list(zip(*rounds, strict=True))


def process(command: Sequence[str], code: int = 0) -> Cost:
    """Return what a process costs, as the kernel counts it, in an empty folder.

    Raises RuntimeError where it does not end with the exit code `code`.
    """
    assert peak() < _SMALL, "what measures whole processes must be small itself"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        running = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(running.pid, 0)
        seconds = time.perf_counter() - start
        running.returncode = os.waitstatus_to_exitcode(status)
        if running.returncode != code:
            errors.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed with {running.returncode}: {errors.read()[-2000:]}")
    return Cost(seconds, _mebibytes(usage), usage.ru_utime + usage.ru_stime)


def duration(command: Sequence[str]) -> float:
    """Seconds of a process."""
    return process(command).seconds


def apart(function: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What a function of a module gives in a new process, so that nothing of before is warm."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *args, **options).result()


def peak() -> float:
    """MiB that this process took at most."""
    return _mebibytes(resource.getrusage(resource.RUSAGE_SELF))


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Gives the seconds that its block took, once that has ended."""
    start = time.perf_counter()
    taken: list[float] = []
    yield lambda: taken[0]
    taken.append(time.perf_counter() - start)


def lacking(peer: str, python: str, *modules: str) -> Skipped | None:
    """What a peer needs and its Python does not have."""
    code = "import sys, importlib.util as u; print(*[m for m in sys.argv[1:] if u.find_spec(m) is None])"
    found = subprocess.run([python, "-c", code, *modules], capture_output=True, text=True, check=True)
    return Skipped(peer, f"{python} has no {', '.join(found.stdout.split())}") if found.stdout.strip() else None


def _mebibytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**20
