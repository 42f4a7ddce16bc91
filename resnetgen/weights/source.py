"""Where weights come from while a model is written: one tensor at a time, so that a payload is never held whole."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32]


class Weights(Protocol):
    """The tensors of a graph's nodes."""

    def tensor(self, node: str, parameter: str) -> Array:
        """A parameter of a node as a C-contiguous float32 array of the parameter's shape."""
        ...
