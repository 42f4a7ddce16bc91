"""One input after the other, each with a second and so much memory; what breaks the contract is a Fault."""

from __future__ import annotations

import resource
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType, TracebackType
from typing import Any

from fuzz.target import Broken, Target

SECONDS = 1.0
"""Of the processor, for one input: a machine that is busy with other things does not make a hang."""
_MEMORY_DISK = Path("/dev/shm")
_PAGE = resource.getpagesize()


class Hang(BaseException):
    """No Exception, so that no parser takes it for one."""


@dataclass(frozen=True)
class Fault:
    target: str
    what: str
    """The same for inputs that meet the same fault: what was raised, and where."""
    data: bytes
    trace: str


class Guard:
    """Keeps a folder and the caught inputs' figures. To be used in the main thread, which alone receives signals."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.target, self.folder = target, folder
        self.took = False
        """Whether the parser took the last input."""
        self.slowest = 0.0
        """Seconds that an input took by the clock."""

    def fault(self, data: bytes) -> Fault | None:
        self.took, start = False, time.perf_counter()
        signal.setitimer(signal.ITIMER_PROF, self.target.seconds or SECONDS)
        try:
            self.took = self.target.attempt(data, self.folder)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            signal.setitimer(signal.ITIMER_PROF, 0)
            return Fault(self.target.name, _what(error), data, _trace(error))
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self.slowest = max(self.slowest, time.perf_counter() - start)
        return None


@contextmanager
def guarded(target: Target) -> Iterator[Guard]:
    """Limits that hold for every `fault` inside: memory is counted from what the process has now."""
    with TemporaryDirectory(prefix="fuzz-", dir=_MEMORY_DISK if _MEMORY_DISK.is_dir() else None) as folder:
        guard = Guard(target, Path(folder))
        for seed in target.seeds[:8]:  # what is imported and cached once is no input's
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                guard.target.attempt(seed, guard.folder)
        old_limit = resource.getrlimit(resource.RLIMIT_DATA)
        old_handler = signal.signal(signal.SIGPROF, _hang)
        resource.setrlimit(resource.RLIMIT_DATA, (_in_use() + target.memory, old_limit[1]))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield guard
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, old_limit)
            signal.signal(signal.SIGPROF, old_handler)


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hang("it took longer than it may")


def _in_use() -> int:
    """Bytes that this process has mapped to write to."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * _PAGE


def _what(error: BaseException) -> str:
    """A hang and a lack of memory come up anywhere below a parser; other errors always at one place."""
    broken = isinstance(error, Broken)
    frames = [*_ours((error.__cause__ or error).__traceback__ if broken else error.__traceback__)]
    anywhere = isinstance(error, Hang | MemoryError)
    place = (frames[0] if anywhere else frames[-1]) if frames else "a test"
    return f"{error.what if isinstance(error, Broken) else type(error).__name__} in {place}"


def _trace(error: BaseException) -> str:
    """Its end: what is raised may quote all of the input."""
    lines = "".join(traceback.format_exception(error, limit=-12)).splitlines()
    return "\n".join(line[:300] for line in lines)[-6000:]


def _ours(trace: TracebackType | None) -> Iterator[str]:
    """The package's functions of a traceback, the outermost first."""
    for frame, _ in traceback.walk_tb(trace):
        name: Any = frame.f_globals.get("__name__", "")
        if str(name).startswith("resnetgen"):
            yield f"{name}.{frame.f_code.co_qualname}"
