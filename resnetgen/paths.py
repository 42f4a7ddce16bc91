"""Paths of the package's data files, and absolute paths without links."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    """Return a data folder: in the package of a wheel, or at the top of the repository in a checkout."""
    packed = _PACKAGE / name
    return packed if packed.is_dir() else _PACKAGE.parent / name


LIBRARY = _PACKAGE / "library"
NAME_MAPS = LIBRARY / "names"
SPECS = _folder("specs")
TEMPLATES = _folder("templates")


def real_path(path: Path) -> Path:
    """Return the absolute path with links resolved, as far as the files exist.

    It never raises, unlike `Path.resolve`, which raises RuntimeError for a link that leads to itself: the code that
    opens the file reports the error. A relative path stays relative if the working folder was removed.
    """
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError:
        return path


def absolute_path(path: Path) -> Path:
    """Return the absolute path, links unresolved; a relative one stays relative if the working folder was removed."""
    try:
        return path.absolute()
    except FileNotFoundError:
        return path
