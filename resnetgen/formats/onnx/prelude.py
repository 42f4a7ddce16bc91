"""Reader of a model's preprocessing: the value that each pixel becomes.

It shares nothing with embed.py but the schema. The comparison computes both the nodes and the formula.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from resnetgen.formats.onnx.forms import Constant, unreadable
from resnetgen.formats.onnx.schema import GraphProto, NodeProto, TensorProto
from resnetgen.ir.ops import Shape
from resnetgen.preprocess import Preprocess

_PIXELS = np.arange(256, dtype=np.float32)
_RGB = "rgb"


class Prelude(Struct, frozen=True):
    """Steps applied so far to the bytes of an image, N x H x W x C in RGB order."""

    tensor: str
    shape: Shape
    """Channels, height, width."""
    order: tuple[int, ...]
    """Index of the image's channel, for each channel of the network."""
    moved: bool = False
    """True if the channels are already before height and width."""
    values: npt.NDArray[np.float32] | None = None
    """channels x 256: the value of each pixel so far; None while it is a byte."""
    nodes: int = 0


def read_prelude(graph: GraphProto, constants: dict[str, Constant]) -> Prelude | None:
    """Return the preprocessing of a model that takes bytes; None if it takes other values. Raises Failure (exit 4) for
    nodes that this program does not write."""
    source = graph.input[0]
    if source.type.tensor_type.elem_type != TensorProto.UINT8:
        return None
    _, height, width, channels = (dim.dim_value for dim in source.type.tensor_type.shape.dim)
    if channels not in (1, 3):
        raise unreadable(f"it takes images of bytes with {channels} channels")
    found = Prelude(source.name, (channels, height, width), tuple(range(channels)))
    for node in graph.node:
        one = not node.domain and len(node.output) == 1 and list(node.input[:1]) == [found.tensor]
        after = _step(found, node, [constants.get(name) for name in node.input[1:]]) if one else None
        if after is None:
            break
        found = replace(after, tensor=node.output[0], nodes=found.nodes + 1)
    if found.values is None or not found.moved:
        raise unreadable("it does not put the bytes of an image in order and make them numbers")
    return found


def _step(done: Prelude, node: NodeProto, held: list[Constant | None]) -> Prelude | None:
    """Return the state after one more node with the constants `held`; None if the node belongs to the network."""
    at = _attributes(node)
    match node.op_type, held:
        case "Transpose", [] if not done.moved and at == {"perm": (0, 3, 1, 2)}:
            return replace(done, moved=True)
        case "Gather", [np.ndarray() as order] if done.moved and done.values is None and at == {"axis": 1}:
            if order.ndim != 1 or order.dtype != np.int64 or sorted(order.tolist()) != sorted(done.order):
                raise unreadable("a channel of the image is left out or taken twice")
            return replace(done, order=tuple(done.order[index] for index in order.tolist()))
        case "Cast", [] if done.values is None and at == {"to": TensorProto.FLOAT}:
            return replace(done, values=np.tile(_PIXELS, (len(done.order), 1)))
        case "Sub", [np.ndarray() as shift] if _is_per_channel(shift, done) and done.values is not None:
            return replace(done, values=done.values - shift[:, 0])
        case "Mul", [np.ndarray() as scale] if _is_per_channel(scale, done) and done.values is not None:
            with np.errstate(all="ignore"):  # the comparison finds a broken scale
                return replace(done, values=done.values * scale[:, 0])
        case _:
            return None


def _is_per_channel(values: Constant, done: Prelude) -> bool:
    return done.moved and values.shape == (len(done.order), 1, 1) and values.dtype == np.float32


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {one.name: tuple(one.ints) if one.ints else one.i for one in node.attribute}


def prelude_differences(found: Prelude | None, wanted: Preprocess | None) -> list[str]:
    """Return the differences between a model's preprocessing and the wanted one; empty if they agree for every
    pixel."""
    if wanted is None:
        return ["it preprocesses images, which it should not"] if found else []
    if found is None:
        return ["it takes values where it should preprocess images"]
    order = tuple(_RGB.index(letter) for letter in wanted.color) if len(wanted.mean) == 3 else (0,)
    if found.order != order:
        return [f"the channels of an image are put in the order {found.order}, not {wanted.color}"]
    lines = []
    assert found.values is not None
    for channel, (mean, std) in enumerate(zip(wanted.mean, wanted.std, strict=True)):
        values = (_PIXELS.astype(np.float64) / wanted.divide - mean) / std
        error = np.abs(found.values[channel] - values)
        # Tolerance: two roundings to float32 of the mean and the scale, and two of the results.
        if not error.max() <= 4 * np.finfo(np.float32).eps * np.abs(values).max():
            worst = int(error.argmax())
            have, want = found.values[channel][worst], values[worst]
            lines.append(f"in channel {channel} a pixel of {worst} becomes {have:.6g}, not {want:.6g}")
    return lines
