"""Values of a run: selection of the comparable ones, and concatenation of several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct, field

from resnetgen.errors import Code, ModelError
from resnetgen.weights.source import Array


class Values(Struct, frozen=True):
    """Outputs and inner tensors that a backend computed for some images."""

    outputs: dict[str, Array]
    inner: dict[str, Array] = field(default_factory=dict)
    """Float tensors whose first axis is the batch, in the order of computation; empty if none were requested or
    exist."""


def require_numbers(shown: str, outputs: Mapping[str, Any]) -> dict[str, Array]:
    """Return the outputs as arrays of numbers. Raises ModelError that names the first that is not one."""
    for name, value in outputs.items():
        if not _is_numeric(value):
            kind = f"a tensor of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
            message = f"{shown}: its output {name} is {kind}, which cannot be compared"
            raise ModelError.of(Code.BAD_MODEL, message, hint="an output is a tensor of numbers, or of bool")
    return {name: np.asarray(value) for name, value in outputs.items()}


def with_batch(tensors: Mapping[str, Any], images: int) -> dict[str, Array]:
    """Return the float tensors whose first axis is the batch.

    Left out are sizes from which exporters compute a shape, masks, indices and constants.
    """
    return {
        name: value
        for name, value in tensors.items()
        if _is_numeric(value) and value.dtype.kind == "f" and value.ndim and len(value) == images
    }


def join(shown: str, runs: Sequence[Values], sizes: Sequence[int]) -> Values:
    """Return the values of several runs as those of one; `sizes` are their numbers of images.

    Inner tensors that do not fit together are left out. Raises ModelError for an output without the batch axis.
    """
    outputs = {name: join_output(shown, name, [run.outputs[name] for run in runs], sizes) for name in runs[0].outputs}
    inner = {}
    for name in runs[0].inner:
        parts = [run.inner[name] for run in runs if name in run.inner]
        if len(parts) == len(runs) and len({part.shape[1:] for part in parts}) == 1:
            inner[name] = np.concatenate(parts)
    return Values(outputs, inner)


def join_output(shown: str, name: str, parts: Sequence[Array], sizes: Sequence[int]) -> Array:
    """Return the values of an output in several runs as one array.

    Raises ModelError if its first axis is not the batch, or the others change from run to run.
    """
    for part, size in zip(parts, sizes, strict=True):
        if not part.ndim or len(part) != size or part.shape[1:] != parts[0].shape[1:]:
            message = f"{shown}: its output {name} has the shape {part.shape} for {size} images"
            hint = "the outputs of several runs are joined along their first dimension, which must be the batch"
            raise ModelError.of(Code.BAD_MODEL, message, hint=hint)
    return np.concatenate(parts)


def _is_numeric(value: object) -> bool:
    """Return True for an array of floats, integers or bool; numpy lacks bfloat16, and strings and structures are no
    numbers."""
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "fiub"
