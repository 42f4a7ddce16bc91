"""The types of the tensors that are read, by numpy's names and bfloat16."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]

BFLOAT16 = "bfloat16"

_STORED = {
    **{name: name for name in ("float64", "float32", "float16", "int64", "int32", "int16", "int8")},
    **{name: name for name in ("uint64", "uint32", "uint16", "uint8")},
    BFLOAT16: "uint16",  # numpy has none: its bits
    "bool": "uint8",  # a byte of a file may be neither 0 nor 1
}

DTYPES = tuple(_STORED)


def width(dtype: str) -> int:
    """Bytes of a value in a file."""
    return stored(dtype).itemsize


Order = Literal["<", ">", "="]
"""Of bytes: little-endian, big-endian, the machine's."""


def stored(dtype: str, order: Order = "<") -> np.dtype[Any]:
    """How the values of a file are read."""
    return np.dtype(_STORED[dtype]).newbyteorder(order)


def loaded(values: Values, dtype: str) -> Values:
    """Values as they were stored -> in the machine's byte order; bfloat16 as float32, of which it is the upper half."""
    if dtype == BFLOAT16:
        bits = values.astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)
    return values.astype(dtype, copy=False)
