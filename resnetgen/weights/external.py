"""Where an ONNX model's external data lies: in a file beside it, and nowhere else."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from resnetgen.errors import Code, Exit, fail

_MAX_NAME = 255
"""Bytes of a file's name; for a longer one systems raise errors of their own."""


def beside(path: Path, location: str) -> Path:
    """The file that a model names. A location that leads elsewhere, on whatever system, is refused (exit 4)."""
    found = path.parent / location
    is_name = PureWindowsPath(location).name == location and location not in ("", "..") and location.isprintable()
    if not is_name or len(location.encode()) > _MAX_NAME or found.is_symlink():
        raise fail(Exit.MODEL, Code.BAD_MODEL, f"{path}: its weights lie outside its folder: {location[:200]!r}")
    if not found.is_file():
        raise fail(Exit.MODEL, Code.BAD_MODEL, f"{path}: its weights are missing: {location[:200]!r}")
    return found
