"""Arrays in .npy and .npz files of others: nothing is unpickled, and memory is limited by the file's size."""

from __future__ import annotations

import tokenize
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt

from resnetgen.errors import Code, Failure, FileError, ModelError
from resnetgen.inputs import open_input
from resnetgen.staging.files import staging
from resnetgen.weights.checkpoint import Head, open_checkpoint, write_npz

SUFFIXES = (".npy", ".npz")


def load(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays by name; that of a .npy file has the file's stem. Raises Failure (exit 4 or 5)."""
    if path.suffix == ".npy":
        return {path.stem: _npy(path)}
    checkpoint = open_checkpoint(path)
    return {name: checkpoint.array(name) for name in checkpoint.tensors}


def save(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a .npz file, complete or not at all. Raises FileError if it cannot be written."""
    heads = {name: Head(values.dtype.name, values.shape) for name, values in arrays.items()}
    with staging(path.parent) as stage:
        write_npz(stage.path(path.name), heads, arrays.items(), stage.create)
        stage.publish()


def bad(path: Path, why: str) -> Failure:
    return ModelError.of(Code.BAD_MODEL, f"{path}: {why}")


def _npy(path: Path) -> npt.NDArray[Any]:
    """Read a .npy file. It is mapped first, which holds what its header claims against its size before memory is taken.

    The values are not read through the map: a file that another process cuts short would kill this one (SIGBUS).
    """
    try:
        with open_input(path) as file, catch_warnings():
            simplefilter("ignore")  # of a header that Python 2 wrote, or with escapes that Python does not know
            mapped = np.lib.format.open_memmap(path, mode="r", max_header_size=_MAX_HEADER)
            values = np.fromfile(file, mapped.dtype, mapped.size, offset=mapped.offset)
            is_fortran = mapped.flags.f_contiguous and not mapped.flags.c_contiguous
            return values.reshape(mapped.shape, order="F" if is_fortran else "C")
    except OSError as error:
        raise FileError.of(Code.MISSING_FILE, f"cannot read {path}: {error.strerror or error}") from None
    except _BAD_HEADER as error:
        raise bad(path, f"it is no .npy file, or only a part of one: {str(error)[:200]}") from None


_MAX_HEADER = 2048
"""Limit in bytes; numpy writes 128, and parsing a damaged header takes quadratic time."""
_BAD_HEADER = (
    ValueError,
    TypeError,
    EOFError,
    SyntaxError,
    OverflowError,
    RecursionError,
    MemoryError,
    tokenize.TokenError,
)
"""Exceptions that numpy and Python's parser raise for an invalid header. Their messages may quote all of it."""
