"""Checks of the output of a model that ranks classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from resnetgen.backends.onnxruntime import FLOATS
from resnetgen.errors import Code, Failure, ModelError
from resnetgen.weights.source import Array


def check_output(path: Path, outputs: Sequence[Any], chosen: str) -> None:
    """Raise ModelError if the chosen output cannot be that of a classifier, by its type and its shape.

    `outputs` are all outputs of the model, as ONNX Runtime describes them; `chosen` is empty if none can be used: there
    are several and the user chose none, or it is a scalar. Unknown extents are checked later, in the values.
    """
    output = next((one for one in outputs if one.name == chosen), None)
    if output is None or output.type not in FLOATS or not _may_be_scores(output.shape):
        raise _refused(path, outputs)


def to_scores(path: Path, outputs: Sequence[Any], values: Array, images: int) -> Array:
    """Return the values of a classifier's output as images x classes in float32.

    Raises ModelError for another shape, and for NaN and Inf.
    """
    if len(values.shape) < 2 or len(values) != images or not _may_be_scores(values.shape):
        shape = by(values.shape) or "a number"
        raise _refused(path, outputs, f"; what it computed of {images} images is {shape}")
    scores: Array
    with np.errstate(over="ignore"):  # a double too large for float32 becomes infinite, which is refused
        scores = values.reshape(images, -1).astype(np.float32)
    if not np.isfinite(scores).all():
        raise ModelError.of(Code.BAD_MODEL, f"{path}: its output holds NaN or Inf")
    return scores


def by(shape: Iterable[object]) -> str:
    return "x".join(map(str, shape))


def _may_be_scores(shape: Sequence[object]) -> bool:
    """Return True for N x classes or N x classes x 1 x 1; also for an empty shape, which means that it is unknown."""
    if not shape:
        return True
    sizes = [extent for extent in shape[1:] if isinstance(extent, int)]
    is_known = len(sizes) == len(shape) - 1
    has_one = sum(size != 1 for size in sizes) <= 1 and 0 not in sizes
    return len(shape) > 1 and shape[0] != 0 and has_one and not (is_known and prod(sizes) < 2)


def _refused(path: Path, outputs: Sequence[Any], but: str = "") -> Failure:
    listed = "; ".join(f"{one.name}: {one.type} of {by(one.shape) or 'unknown shape'}" for one in outputs)
    message = f"{path}: a classifier gives floats, images x classes; this model gives {listed}{but}"
    several = "--output NAME chooses one of several" if len(outputs) > 1 else ""
    return ModelError.of(Code.BAD_MODEL, message, hint=several)
