"""Types of the tensors that can be read, by their names in numpy, and bfloat16."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]

BFLOAT16 = "bfloat16"

_STORED = {
    **{name: name for name in ("float64", "float32", "float16", "int64", "int32", "int16", "int8")},
    **{name: name for name in ("uint64", "uint32", "uint16", "uint8")},
    BFLOAT16: "uint16",  # numpy has no bfloat16: kept as bits
    "bool": "uint8",  # in a file a byte may be other than 0 and 1
}

DTYPES = tuple(_STORED)
MAX_RANK = 16
"""Limit of axes of a tensor; a convolution's weight has 4, and numpy allows 64."""


def width(dtype: str) -> int:
    """Return the bytes per value in a file."""
    return stored(dtype).itemsize


Order = Literal["<", ">", "="]
"""Byte order: little-endian, big-endian, or the machine's."""


def stored(dtype: str, order: Order = "<") -> np.dtype[Any]:
    """Return the numpy type for reading values from a file."""
    return np.dtype(_STORED[dtype]).newbyteorder(order)


def loaded(values: Values, dtype: str) -> Values:
    """Convert values as stored to the machine's byte order; bfloat16 becomes float32, of which it is the upper half."""
    if dtype == BFLOAT16:
        bits = values.astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    return values.astype(dtype, copy=False)


def show_shape(shape: tuple[int, ...]) -> str:
    """Return a shape as text for an error; one that is absurdly long is cut."""
    dims = [str(dim) if abs(dim) < 10**20 else "..." for dim in shape[: MAX_RANK + 1]]
    return "x".join(dims) or "a single value"
