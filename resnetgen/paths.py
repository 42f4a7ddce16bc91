"""Paths of files and folders that others made."""

from __future__ import annotations

import os
from pathlib import Path


def real_path(path: Path) -> Path:
    """Return the absolute path without links, as far as there are files.

    Unlike `Path.resolve`, which raises RuntimeError for a link that leads to itself, it raises nothing: what reads or
    writes the file says what is wrong with it.
    """
    return Path(os.path.realpath(path))
