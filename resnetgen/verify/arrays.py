"""Arrays in .npy and .npz files, which others wrote: nothing is unpickled, and no more memory taken than they fill."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from resnetgen.errors import Code, Exit, Failure, fail

SUFFIXES = (".npy", ".npz")
_MAX_BYTES = 4 << 30
"""Of all the arrays of a file: zeros compress a thousandfold."""


def load(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Name -> array; that of a .npy file is called by the file's stem. Raises Failure (exit 5)."""
    try:
        if zipfile.is_zipfile(path):
            return _members(path)
        with path.open("rb") as file:
            return {path.stem: _array(file, path.stat().st_size)}
    except OSError as error:
        raise fail(Exit.IO, Code.MISSING_FILE, f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, EOFError, MemoryError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        raise bad(path, f"it is no .npy or .npz file, or only a part of one: {error}") from None


def save(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raises Failure (exit 5) where the file cannot be written."""
    try:
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise fail(Exit.IO, Code.OUTPUT, f"cannot write {path}: {error.strerror}") from None


def bad(path: Path, why: str) -> Failure:
    return fail(Exit.IO, Code.BAD_VALUE, f"{path}: {why}")


def _members(path: Path) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > _MAX_BYTES:
            raise bad(path, f"its arrays take more than {_MAX_BYTES >> 30} GiB")
        found = {}
        for member in members:
            with archive.open(member) as file:
                found[member.filename.removesuffix(".npy")] = _array(file, member.file_size)  # type: ignore[arg-type]
        return found


def _array(file: BinaryIO, size: int) -> npt.NDArray[Any]:
    """An array of a file of this size. The header is read first: numpy would take what memory it claims."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    data = file.read(size)
    count = 1
    for extent in shape:
        count *= extent
    if dtype.hasobject or count * dtype.itemsize != len(data):
        raise ValueError(f"{len(data)} bytes of data for {shape} of {dtype}")
    values = np.frombuffer(data, dtype)
    return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)
