"""Source of the weights of a model that is being written."""

from __future__ import annotations

import zlib
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Stored: TypeAlias = Array | npt.NDArray[np.float16]
"""Values in a type of the written file."""
Key: TypeAlias = tuple[str, str]
"""Node and parameter."""


class WeightSource(Protocol):
    """Tensors of a graph's nodes. Several threads may ask for them at once."""

    def tensor(self, node: str, parameter: str) -> Array:
        """Return a parameter of a node: a C-contiguous float32 array of its shape, which the caller may overwrite."""
        ...


def checksum(values: Stored) -> int:
    """Return the CRC-32 of the values, for translation validation: it costs a third of SHA-256.

    It guards against mistakes of this program; the manifest has SHA-256 against changes by others.
    """
    return zlib.crc32(values.data)
