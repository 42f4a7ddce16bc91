"""Folders for unfinished work: locked while their process lives, and removed after it was killed."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnetgen.paths import real_path

if sys.platform != "win32":
    import fcntl

PREFIX = ".staging-resnetgen-"
"""Prefix of staging folders; folders with it may be deleted."""
_ATTEMPTS = 100
"""Limit of attempts: a folder may be removed by another build before it is locked; then another is tried."""
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
"""Errors of file systems without locks; EBADF is that of NFS, which cannot lock folders."""


@contextmanager
def workshop(place: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Make a staging folder in `place`, locked against removal by other processes; yield it and the folders that it
    needed.

    All of them are removed again if they are empty. Staging folders that killed processes left in `place` are removed
    first. Raises OSError.
    """
    new_folders: list[Path] = []
    try:
        folder, lock = _new(place, new_folders)
        try:
            yield folder, new_folders
        finally:
            remove_empty(folder)
            release(lock)
    finally:
        for folder in reversed(new_folders):
            remove_empty(folder)


def beside(folder: Path) -> Path:
    """Return the folder in which to stage files for `folder`, or `folder` itself: its parent folder.

    It is `folder` itself if a rename from the parent would cross file systems, or if the parent cannot be written.
    """
    around = real_path(folder).parent
    if not folder.exists():
        return around
    is_near = around.stat().st_dev == folder.stat().st_dev
    return around if is_near and os.access(around, os.W_OK) else folder


def _new(place: Path, new_folders: list[Path]) -> tuple[Path, int | None]:
    for left in reversed(range(_ATTEMPTS)):
        try:
            for folder in (*reversed(place.parents), place):
                if make(folder):
                    new_folders.append(folder)  # one by one, since the next one may fail
            _sweep(place)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            lock = None
            try:
                lock = hold(folder)
                folder.stat()  # from here on it stays: only its lock's holder removes it
            except OSError:
                release(lock)
                remove_empty(folder)
                raise
            return folder, lock
        except (FileNotFoundError, BlockingIOError):
            if not left:
                raise
    raise AssertionError


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        try:
            lock = hold(folder)
        except OSError:
            continue  # its owner lives, or has just removed it, or it is a link
        if lock is not None:
            remove(folder)
            release(lock)


def make(folder: Path) -> bool:
    """Make a folder if it is missing; return True if it was. Raises OSError, also if something else has its name."""
    if folder.is_dir():
        return False
    try:
        folder.mkdir()
    except FileExistsError as error:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from None
        return False  # another process was faster
    return True


def remove_empty(folder: Path) -> None:
    with suppress(OSError):  # raised if it is not empty
        folder.rmdir()


def remove(folder: Path) -> None:
    """Remove a folder with its contents as far as possible; the next build removes the rest."""
    with suppress(OSError):  # raised even so if a descriptor cannot be closed
        shutil.rmtree(folder, ignore_errors=True)


def hold(folder: Path) -> int | None:
    """Lock a staging folder until `release`, or until this process ends; return None if there are no locks.

    Only its owner may open such a folder, and so lock it. Raises BlockingIOError if another process holds it, OSError
    if it is a link or not a folder.
    """
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        release(descriptor)
        if error.errno in NO_LOCKS:
            return None
        raise
    return descriptor


def release(lock: int | None) -> None:
    if lock is not None:
        with suppress(OSError):  # nothing was written through it
            os.close(lock)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk. Raises OSError."""
    is_windows = os.name == "nt"  # Windows syncs only files open for writing, and no folders
    if is_windows and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if is_windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
