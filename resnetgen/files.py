"""Outputs appear complete or not at all: staged in a folder beside their place, synced, then renamed."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from resnetgen.errors import Code, Exit, Failure, fail

if sys.platform != "win32":
    import fcntl

_PREFIX = ".staging-"
_YOUNG = 60
"""Seconds for which a staging folder may be without a lock: its owner may be about to take it."""


class Output:
    """A new file that is hashed as it is written."""

    def __init__(self, path: Path, finished: Callable[[Path], None] = lambda _: None) -> None:
        self.path = path
        self.size = 0
        self._finished = finished
        self._file = path.open("xb")
        self._hash = sha256()

    def write(self, data: Any) -> None:
        """Append bytes, or anything that has a buffer."""
        self._file.write(data)
        self._hash.update(data)
        self.size += memoryview(data).nbytes

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._finished(self.path)


Create = Callable[[Path], Output]
"""Begins a file."""


class Staging:
    """A folder for unfinished files, which are brought to the disk while others are written or read back."""

    def __init__(self, folder: Path, final: Path) -> None:
        self.folder = folder
        self.final = final
        self.outputs: dict[str, Output] = {}
        """The files begun, by name and in their order."""
        self._pool = ThreadPoolExecutor()
        self._synced: list[Future[None]] = []
        self._lock = _lock(folder)

    def create(self, path: Path) -> Output:
        output = Output(path, lambda path: self._synced.append(self._pool.submit(_sync, path)))
        self.outputs[path.name] = output
        return output

    def path(self, name: str) -> Path:
        return self.folder / name

    def write_text(self, name: str, text: str) -> None:
        with self.create(self.path(name)) as output:
            output.write(text.encode())

    def publish(self, final: Path | None = None) -> None:
        """Move the files to their place, or to `final`, in their order: whole files, never a part of one.

        A link that stands there is replaced, not followed.
        """
        final = final or self.final
        for name in self.outputs:
            if (final / name).is_dir() and not (final / name).is_symlink():
                raise fail(Exit.IO, Code.OUTPUT, f"cannot write {final / name}: a folder stands there")
        for done in self._synced:
            done.result()
        for name in self.outputs:
            os.replace(self.folder / name, final / name)
        if os.name != "nt":
            _sync(final)

    def publish_folder(self, layout: Mapping[str, str], place: Path) -> None:
        """Move files to a new folder, which appears at once; `layout`: file -> its path in it.

        The folder around it is made where it is missing. Raises Failure (exit 5) where something stands there.
        """
        for done in self._synced:
            done.result()
        folder = self.folder / "folder"
        for name, path in layout.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.folder / name, folder / path)
            del self.outputs[name]
        if os.name != "nt":
            for made in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
                _sync(made)
        place.parent.mkdir(exist_ok=True)
        try:
            os.rename(folder, place)
        except OSError:  # a rename never replaces a folder that holds anything
            if not place.exists():
                raise
            raise fail(Exit.IO, Code.OUTPUT, f"cannot write {place}: something stands there") from None
        if os.name != "nt":
            _sync(place.parent)

    def close(self) -> None:
        """Remove what was not published."""
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


@contextmanager
def staging(final: Path) -> Iterator[Staging]:
    """A staging folder inside `final`, which is made where it is missing and removed again if nothing is published.

    Raises Failure (exit 5) where the folder cannot be written or an OSError comes up while it is.
    """
    made: list[Path] = []
    try:
        for folder in [*reversed(final.parents), final]:
            if not folder.exists():
                folder.mkdir()
                made.append(folder)
        _sweep(final)
        stage = Staging(Path(tempfile.mkdtemp(prefix=_PREFIX, dir=final)), final)
        try:
            yield stage
        finally:
            stage.close()
    except Failure:
        raise
    except OSError as error:
        where = error.filename or final
        hint = "--output-dir names another folder"
        raise fail(Exit.IO, Code.OUTPUT, f"cannot write {where}: {error.strerror}", hint=hint) from error
    finally:
        for folder in reversed(made):
            try:
                folder.rmdir()  # succeeds only where it is still empty
            except OSError:
                break


def _lock(folder: Path) -> int | None:
    """Hold a folder for as long as this process lives; None where another holds it, or where there are no locks."""
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(final: Path) -> None:
    """Remove what builds that were killed have left: staging folders that no process holds any more."""
    for folder in final.glob(f"{_PREFIX}*"):
        try:
            held = _lock(folder) if time.time() - folder.lstat().st_mtime > _YOUNG else None
        except OSError:
            continue  # its owner has removed it meanwhile, or it is no folder
        if held is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(held)


def _sync(path: Path) -> None:
    # Windows syncs only what is open for writing, and no folder.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
