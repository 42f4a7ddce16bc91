"""Lock of a folder in which files are published: one process at a time, and no one waits forever.

The lock is a file in the folder that its owner alone may open, so that no one else can take it. (Anyone who can read a
folder can lock the folder itself.) The file is removed with the lock; one left by a killed process has no effect.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from resnetgen.staging.folders import NO_LOCKS, PREFIX

if sys.platform != "win32":
    import fcntl

LOCK = f"{PREFIX}lock"
MAX_WAIT = 60
"""Time limit in seconds. Publishing renames files that are on the disk already, which takes less than a second."""
_PATIENCE = 3
"""Time in seconds until the user is told about the wait."""
_PAUSE = 0.02
"""Time in seconds between two attempts."""


def _silent(_: str) -> None:
    pass


tell: Callable[[str], None] = _silent
"""Function that is called with a message for the user during a wait. The command line sets its own."""


@contextmanager
def publishing(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder; do nothing if the file system has no locks.

    Raises TimeoutError, which names the holder, after MAX_WAIT seconds; OSError if the folder cannot be written, or
    something other than a file has the lock's name.
    """
    lock = _wait(folder)
    try:
        yield
    finally:
        if lock is not None:
            with suppress(OSError):  # the next holder takes the file that is left
                os.unlink(folder / LOCK)
            with suppress(OSError):
                os.close(lock)


def _wait(folder: Path) -> int | None:
    attempts, told = 0, False
    while True:
        try:
            return _take(folder / LOCK)
        except BlockingIOError:
            waited = attempts * _PAUSE
        holder = _holder(folder / LOCK)
        if waited >= MAX_WAIT:
            message = f"{holder} has been publishing there for {MAX_WAIT} seconds; if none is, remove {LOCK}"
            raise TimeoutError(errno.ETIMEDOUT, message, str(folder))
        if waited >= _PATIENCE and not told:
            told = True
            tell(f"waiting for {holder}, which publishes in {folder}")
        time.sleep(_PAUSE)
        attempts += 1


def _take(path: Path) -> int | None:
    """Lock the file and write the process id into it; return None if there are no locks.

    Raises BlockingIOError if another process holds it.
    """
    if sys.platform == "win32":
        return None
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except PermissionError as error:
            if os.path.lexists(path):  # another user's
                raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), str(path)) from error
            raise
        try:
            if not S_ISREG(os.fstat(descriptor).st_mode):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(path, descriptor):
                with suppress(OSError):  # it only informs those who wait
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        except OSError as error:
            if error.errno in NO_LOCKS:
                with suppress(OSError):
                    os.unlink(path)
            else:
                _remove_if_free(path, descriptor)
            with suppress(OSError):
                os.close(descriptor)
            if error.errno in NO_LOCKS:
                return None
            raise
        with suppress(OSError):
            os.close(descriptor)


def _remove_if_free(path: Path, descriptor: int) -> None:
    """Remove a lock file that no process holds: after an error of the system it may be new, and its folder too."""
    with suppress(OSError):  # BlockingIOError, if it is held
        if S_ISREG(os.fstat(descriptor).st_mode):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(path, descriptor):
                os.unlink(path)


def _is_there(path: Path, descriptor: int) -> bool:
    """Return True if the locked file still has its name: its last holder removes it."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        with path.open("rb") as file:
            number = int(file.read(20))
    except (OSError, ValueError):
        return "another process"
    return f"process {number}"
