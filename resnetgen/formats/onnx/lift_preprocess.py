"""Preprocessing at the beginning of a model: the value that each pixel becomes.

It shares nothing with lower_preprocess.py but the schema. The comparison computes both the nodes and the formula.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from resnetgen.formats.onnx.lifting import unreadable
from resnetgen.formats.onnx.model.nodes import OnnxNode
from resnetgen.formats.onnx.model.read import OnnxModel
from resnetgen.formats.onnx.model.schema import TensorProto
from resnetgen.ir.ops import Shape
from resnetgen.preprocess import Preprocess

_PIXELS = np.arange(256, dtype=np.float32)
_RGB = "rgb"


class PixelSteps(Struct, frozen=True):
    """Steps of a model on the bytes of an image, N x H x W x C in RGB order."""

    tensor: str
    """Tensor that the last of the nodes writes."""
    shape: Shape
    """Channels, height, width."""
    order: tuple[int, ...]
    """Index of the image's channel, for each channel of the network."""
    moved: bool = False
    """True if the channels are already before height and width."""
    values: npt.NDArray[np.float32] | None = None
    """channels x 256: the value of each pixel so far; None while it is a byte."""
    nodes: int = 0
    """Number of nodes."""


def read_preprocess(model: OnnxModel) -> PixelSteps:
    """Return the preprocessing of a model that takes bytes. Raises ModelError for other nodes."""
    source = model.inputs[0]
    shape = source.shape if source.shape and all(isinstance(extent, int) for extent in source.shape[1:]) else ()
    if len(shape) != 4 or shape[3] not in (1, 3):
        raise unreadable(model, f"it takes bytes of the shape {source.shape}, not images of 1 or 3 channels")
    height, width, channels = (int(extent) for extent in shape[1:])
    done = PixelSteps(source.name, (channels, height, width), tuple(range(channels)))
    for node in model.nodes:
        is_next = not node.unknown and len(node.outputs) == 1 and node.inputs[:1] == (done.tensor,)
        after = _apply(model, node, done) if is_next else None
        if after is None:
            break
        done = replace(after, tensor=node.outputs[0], nodes=done.nodes + 1)
    if done.values is None or not done.moved:
        raise unreadable(model, "it does not put the bytes of an image in order and make them numbers")
    return done


def _apply(model: OnnxModel, node: OnnxNode, done: PixelSteps) -> PixelSteps | None:
    """Return the steps with one more node; None if the node belongs to the network."""
    constants, attributes = [model.constant(name) for name in node.inputs[1:]], node.attributes
    match "" if node.domain else node.operator, constants:
        case "Transpose", [] if not done.moved and attributes.get("perm") == (0, 3, 1, 2):
            return replace(done, moved=True)
        case "Gather", [np.ndarray() as order] if done.moved and done.values is None and attributes["axis"] == 1:
            if order.ndim != 1 or order.dtype != np.int64 or sorted(order.tolist()) != sorted(done.order):
                raise unreadable(model, "a channel of the image is left out or taken twice")
            return replace(done, order=tuple(done.order[index] for index in order.tolist()))
        case "Cast", [] if done.values is None and attributes.get("to") == TensorProto.FLOAT:
            return replace(done, values=np.tile(_PIXELS, (len(done.order), 1)))
        case "Sub", [np.ndarray() as shift] if _is_per_channel(shift, done) and done.values is not None:
            return replace(done, values=done.values - shift[:, 0])
        case "Mul", [np.ndarray() as scale] if _is_per_channel(scale, done) and done.values is not None:
            with np.errstate(all="ignore"):  # the comparison finds a broken scale
                return replace(done, values=done.values * scale[:, 0])
        case _:
            return None


def _is_per_channel(values: npt.NDArray[Any], done: PixelSteps) -> bool:
    return done.moved and values.shape == (len(done.order), 1, 1) and values.dtype == np.float32


def preprocess_differences(actual: PixelSteps | None, expected: Preprocess | None) -> list[str]:
    """Return the differences between a model's preprocessing and the expected one; empty if they agree for every
    pixel."""
    if expected is None:
        return ["it preprocesses images, which it should not"] if actual else []
    if actual is None:
        return ["it takes values where it should preprocess images"]
    order = tuple(_RGB.index(letter) for letter in expected.color) if len(expected.mean) == 3 else (0,)
    if actual.order != order:
        return [f"the channels of an image are put in the order {actual.order}, not {expected.color}"]
    lines = []
    assert actual.values is not None
    for channel, (mean, std) in enumerate(zip(expected.mean, expected.std, strict=True)):
        values = (_PIXELS.astype(np.float64) / expected.divide - mean) / std
        error = np.abs(actual.values[channel] - values)
        # Tolerance: two roundings to float32 of the mean and the scale, and two of the results.
        if not error.max() <= 4 * np.finfo(np.float32).eps * np.abs(values).max():
            worst = int(error.argmax())
            have, want = actual.values[channel][worst], values[worst]
            lines.append(f"in channel {channel} a pixel of {worst} becomes {have:.6g}, not {want:.6g}")
    return lines
