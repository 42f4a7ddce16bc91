"""Outputs appear complete or not at all: staged in a folder beside their place, synced, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

from resnetgen.errors import Code, Exit, Failure, fail

_PREFIX = ".staging-"


class Staging:
    """A folder for unfinished files. What is not published is removed."""

    def __init__(self, folder: Path, final: Path) -> None:
        self.folder = folder
        self.final = final

    def path(self, name: str) -> Path:
        return self.folder / name

    def sync(self, name: str) -> None:
        """Bring a finished file to the disk. Must be done before it is published."""
        with (self.folder / name).open("rb") as file:
            os.fsync(file.fileno())

    def digest(self, name: str) -> tuple[int, str]:
        """Size and SHA-256 of a finished file."""
        with (self.folder / name).open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
            return file.tell(), digest

    def publish(self, names: list[str]) -> None:
        """Move finished, synced files to their place, in this order: whole files, never a part of one.

        A link that stands there is replaced, not followed.
        """
        for name in names:
            if (self.final / name).is_dir() and not (self.final / name).is_symlink():
                raise fail(Exit.IO, Code.OUTPUT, f"cannot write {self.final / name}: a folder stands there")
        for name in names:
            os.replace(self.folder / name, self.final / name)
        _sync_folder(self.final)


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
        temporary = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=final))
        try:
            yield Staging(temporary, final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
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


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
