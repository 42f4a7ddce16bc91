"""Location of an ONNX model's external data: a file in the model's folder, and nowhere else."""

from __future__ import annotations

from pathlib import Path, PureWindowsPath

from resnetgen.errors import Code, ModelError

_MAX_NAME = 255
"""Limit in bytes of a file name; longer ones make systems raise errors of various kinds."""


def beside(path: Path, location: str) -> Path:
    """Return the path of a model's external data. Raises ModelError if the location leads outside the model's
    folder on any system, or if the file is missing."""
    found = path.parent / location
    is_name = PureWindowsPath(location).name == location and location not in ("", "..") and location.isprintable()
    if not is_name or len(location.encode()) > _MAX_NAME or found.is_symlink():
        raise ModelError.of(Code.BAD_MODEL, f"{path}: its weights lie outside its folder: {location[:200]!r}")
    if not found.is_file():
        raise ModelError.of(Code.BAD_MODEL, f"{path}: its weights are missing: {location[:200]!r}")
    return found
