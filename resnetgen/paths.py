"""Absolute paths of files and folders, without links."""

from __future__ import annotations

import os
from pathlib import Path


def real_path(path: Path) -> Path:
    """Return the absolute path with links resolved, as far as the files exist.

    It never raises, unlike `Path.resolve`, which raises RuntimeError for a link that leads to itself: the code that
    opens the file reports the error.
    """
    return Path(os.path.realpath(path))
