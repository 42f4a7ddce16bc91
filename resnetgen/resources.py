"""Paths of the data files: in the package of a wheel, or at the top of the repository in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    packed = _PACKAGE / name
    return packed if packed.is_dir() else _PACKAGE.parent / name


LIBRARY = _PACKAGE / "library"
NAME_MAPS = LIBRARY / "names"
SPECS = _folder("specs")
TEMPLATES = _folder("templates")
