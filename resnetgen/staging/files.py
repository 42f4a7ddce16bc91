"""Output files that appear complete or not at all: staged in a folder, synced, then renamed.

All files published in one `with staging(...)` stay, or none does: if the block fails, the previous files are restored.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from resnetgen.errors import Code, Failure, FileError
from resnetgen.inputs import special_kind
from resnetgen.paths import real_path
from resnetgen.staging import folders, locks

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
"""Errors of file systems that have no hard links, or none for this file."""
_NOT_EMPTY = {errno.EEXIST, errno.ENOTEMPTY}
"""Errors of a rename onto a folder that is not empty."""


class Output:
    """A new file that is hashed while it is written."""

    def __init__(self, path: Path, finished: Callable[[Path], None] = lambda _: None) -> None:
        self.path = path
        self.size = 0
        self._finished = finished
        self._file = path.open("xb")
        self._hash = sha256()

    def write(self, data: Any) -> None:
        """Append bytes, or any object with a buffer."""
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
"""Function that opens a new file."""


class Staging:
    """A folder for unfinished files, which are flushed to the disk while others are written or read back."""

    def __init__(self, folder: Path, final: Path, new_folders: Iterable[Path] = ()) -> None:
        """Prepare staging. `new_folders`: folders that are new, so that their names are not on the disk yet."""
        self.folder = folder
        self.final = final
        self.outputs: dict[str, Output] = {}
        """Files by name, in the order of their creation."""
        self._pool = ThreadPoolExecutor()
        self._synced: list[Future[None]] = [self._pool.submit(folders.sync, path.parent) for path in new_folders]
        self._alone = ExitStack()
        """Releases the locks of the folders that this build publishes in."""
        self._undo = ExitStack()
        """Restores the previous files."""
        self._kept = 0

    def create(self, path: Path) -> Output:
        output = Output(path, lambda path: self._synced.append(self._pool.submit(folders.sync, path)))
        self.outputs[path.name] = output
        return output

    def path(self, name: str) -> Path:
        return self.folder / name

    def write_text(self, name: str, text: str) -> None:
        with self.create(self.path(name)) as output:
            output.write(text.encode())

    def publish(
        self,
        final: Path | None = None,
        without: Iterable[str] = (),
        last: Callable[[], tuple[str, str]] | None = None,
    ) -> None:
        """Move the files to their place, or to `final`, in their order: only complete files.

        An existing link is replaced, not followed. Until the end of the block no other build publishes there.
        `without`: names of files to be removed. `last`: function that returns the name and text of one more file; it is
        called under the lock, for a text that depends on the existing files. Raises FileError and OSError.
        """
        final = final or self.final
        self._wait_for_disk()  # before others have to wait for the lock
        self._alone.enter_context(locks.publishing(real_path(final)))
        if last:
            self.write_text(*last())
        for name in (*self.outputs, *without):
            _require_replaceable(final / name)
        self._wait_for_disk()
        for name in self.outputs:
            self._keep(final / name)
            os.replace(self.folder / name, final / name)
        for name in without:
            self._keep(final / name)
            (final / name).unlink(missing_ok=True)
        folders.sync(final)

    def publish_folder(self, layout: Mapping[str, str], place: Path) -> None:
        """Move files to a new folder, which appears at once; `layout`: file -> its path in it.

        An empty folder is replaced, with its permissions kept; a missing parent folder is created. Raises
        FileExistsError if the folder has files; the new files are then still here, so that another place can be tried.
        """
        self._wait_for_disk()
        folder = self.folder / "folder"
        for name, path in layout.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.folder / name, folder / path)
        for inner in (*(path for path in folder.rglob("*") if path.is_dir()), folder):
            folders.sync(inner)
        if folders.make(place.parent):
            self._undo.callback(folders.remove_empty, place.parent)
            folders.sync(place.parent.parent)
        mode = place.stat().st_mode if place.is_dir() else None
        if mode is not None:
            folder.chmod(mode)
        try:
            os.rename(folder, place)
        except OSError as error:  # a rename never replaces a folder that is not empty
            for name, path in layout.items():
                os.rename(folder / path, self.folder / name)
            shutil.rmtree(folder)
            if error.errno not in _NOT_EMPTY:
                raise
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(place)) from None
        if mode is not None:
            self._undo.callback(place.chmod, mode)
            self._undo.callback(place.mkdir)
        self._undo.callback(os.rename, place, folder)
        for name in layout:
            del self.outputs[name]
        folders.sync(place.parent)

    def commit(self) -> None:
        """Keep the published files."""
        self._undo.pop_all()

    def close(self) -> None:
        """Undo what was published without a commit, and remove the staging folder."""
        with self._alone:
            try:
                self._undo.close()
            finally:
                self._pool.shutdown(cancel_futures=True)
                folders.remove(self.folder)

    def _wait_for_disk(self) -> None:
        for done in self._synced:
            done.result()

    def _keep(self, place: Path) -> None:
        """Keep the present state of `place`, a file or nothing, so that it is restored if the block fails."""
        self._kept += 1
        kept = self.folder / f"kept-{self._kept}"
        try:
            os.link(place, kept, follow_symlinks=False)
        except FileNotFoundError:
            self._undo.callback(place.unlink, missing_ok=True)
            return
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LINKS:
                raise
            os.replace(place, kept)
        self._undo.callback(os.replace, kept, place)


def _require_replaceable(place: Path) -> None:
    """Raise FileError if a rename would replace a folder, a device, a pipe or a socket."""
    try:
        kind = special_kind(place.lstat().st_mode)
    except FileNotFoundError:
        return
    if kind:
        raise FileError.of(Code.OUTPUT, f"cannot write {place}: {kind} has that name")


@contextmanager
def staging(final: Path) -> Iterator[Staging]:
    """Make a staging folder in `final`, which is created if it is missing, and removed again if nothing is published.

    Raises FileError if the folder cannot be written, or an OSError occurs in the block.
    """
    try:
        with folders.workshop(final) as (folder, new_folders):
            stage = Staging(folder, final, new_folders)
            try:
                yield stage
                stage.commit()
            finally:
                stage.close()
    except Failure:
        raise
    except OSError as error:
        where = error.filename2 or error.filename or final
        if folders.PREFIX in str(where):
            where = final  # the name of a staging folder means nothing to users
        hint = "--output-dir names another folder"
        raise FileError.of(Code.OUTPUT, f"cannot write {where}: {error.strerror or error}", hint=hint) from error
