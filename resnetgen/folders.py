"""Folders for unfinished work: made, held by a lock as long as their process lives, and removed after it was killed."""

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
"""What bears it is ours to remove."""
_ATTEMPTS = 100
"""Whoever tidies up, or fails, may remove a folder before it is held; then the next one is made."""
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
"""What the file systems say that have none; EBADF is NFS, which locks no folder."""


@contextmanager
def workshop(place: Path) -> Iterator[tuple[Path, list[Path]]]:
    """A new folder inside `place`, which no other process takes for a dead one's; and the folders made for it.

    All of them are removed again where they are empty. What earlier processes left in `place` as they were killed is
    removed first. Raises OSError.
    """
    made: list[Path] = []
    try:
        folder, held = _new(place, made)
        try:
            yield folder, made
        finally:
            remove_empty(folder)
            release(held)
    finally:
        for folder in reversed(made):
            remove_empty(folder)


def beside(folder: Path) -> Path:
    """Where to stage what shall appear in `folder`, or as `folder`, at once: in the folder around it.

    In it where a rename from there would leave the file system, or the folder around it is not ours to write.
    """
    around = real_path(folder).parent
    if not folder.exists():
        return around
    is_near = around.stat().st_dev == folder.stat().st_dev
    return around if is_near and os.access(around, os.W_OK) else folder


def _new(place: Path, made: list[Path]) -> tuple[Path, int | None]:
    for left in reversed(range(_ATTEMPTS)):
        try:
            made += [folder for folder in (*reversed(place.parents), place) if make(folder)]
            _sweep(place)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            held = None
            try:
                held = hold(folder)
                folder.stat()  # it stays from here on, for whoever removes one holds it
            except OSError:
                release(held)
                remove_empty(folder)
                raise
            return folder, held
        except (FileNotFoundError, BlockingIOError):
            if not left:
                raise
    raise AssertionError


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{PREFIX}*"):
        try:
            held = hold(folder)
        except OSError:
            continue  # its owner lives, or has removed it meanwhile, or it is a link
        if held is not None:
            remove(folder)
            release(held)


def make(folder: Path) -> bool:
    """Whether it was missing, and is made. Raises OSError, also where something else stands there."""
    if folder.is_dir():
        return False
    try:
        folder.mkdir()
    except FileExistsError as error:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from None
        return False  # another was faster
    return True


def remove_empty(folder: Path) -> None:
    with suppress(OSError):  # raised where it is not empty
        folder.rmdir()


def remove(folder: Path) -> None:
    """With all that is in it, as far as that can be done: what stays is removed by the next build."""
    with suppress(OSError):  # raised even so where a descriptor cannot be closed
        shutil.rmtree(folder, ignore_errors=True)


def hold(folder: Path) -> int | None:
    """Lock a staging folder until `release`, or until this process ends; None where there are no locks.

    Only its owner may open such a folder, and so lock it. Raises BlockingIOError where another process holds it,
    OSError where it is a link or no folder.
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


def release(held: int | None) -> None:
    if held is not None:
        with suppress(OSError):  # nothing was written through it
            os.close(held)


def sync(path: Path) -> None:
    """Bring a file to the disk, or the names in a folder. Raises OSError."""
    is_windows = os.name == "nt"  # it syncs only what is open for writing, and no folder
    if is_windows and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if is_windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
