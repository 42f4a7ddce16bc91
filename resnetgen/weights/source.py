"""Where weights come from while a model is written."""

from __future__ import annotations

import zlib
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]
Stored: TypeAlias = Array | npt.NDArray[np.float16]
"""As a file has them."""
Key: TypeAlias = tuple[str, str]
"""Node and parameter."""


class Weights(Protocol):
    """The tensors of a graph's nodes. May be asked from several threads at once."""

    def tensor(self, node: str, parameter: str) -> Array:
        """A parameter of a node: a C-contiguous float32 array of its shape, which the caller may overwrite."""
        ...


def checksum(values: Stored) -> int:
    """What translation validation compares: CRC-32, a third of the cost of SHA-256.

    It guards against our own mistakes; against other people's the manifest has SHA-256.
    """
    return zlib.crc32(values.data)
