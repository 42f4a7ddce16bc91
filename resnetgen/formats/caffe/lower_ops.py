"""Layers of Caffe: each function returns the layers of an op, in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, Union

import numpy as np
from msgspec import Struct

from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.model.schema import param_field
from resnetgen.ir import ops
from resnetgen.ir.ops import Pair, Shape
from resnetgen.weights.source import Array


class Enum(str):
    """Name of an enum's value, which is printed without quotes."""


Value: TypeAlias = Union[int, float, str, bool, Enum, "Params"]
Params: TypeAlias = tuple[tuple[str, Value], ...]
"""Fields of a message, in the order of printing."""


class WeightBlob(Struct, frozen=True):
    """A blob with a parameter of the node."""

    parameter: str
    shape: Shape | None = None
    """Shape of the blob; None for that of the parameter."""


class FixedBlob(Struct, frozen=True):
    """A blob with untrained, fixed values."""

    shape: Shape
    fill: Callable[[Shape], Array]


Blob: TypeAlias = WeightBlob | FixedBlob


class LayerPlan(Struct, frozen=True):
    """One layer of a prototxt. `reads` and `writes` are labels of blobs within its node, until they have names."""

    type: str
    params: Params = ()
    blobs: tuple[Blob, ...] = ()
    in_place: bool = False
    """True if the layer may overwrite its bottom with its top, provided that no other layer reads it."""
    reads: tuple[str, ...] = ()
    """Labels of the bottoms; "0", "1" ... are the node's inputs. Empty: the tops of the layer before, or every input
    for the first layer."""
    writes: tuple[str, ...] = ("",)
    """Labels of the tops. "out" is the node's output; without it, the first top of the last layer is."""
    frozen: bool = False
    """True if training must not change its blobs."""
    name: str = ""
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    node: str = ""
    top_first: bool = False

    @property
    def param_field(self) -> str:
        return param_field(self.type)


Layers: TypeAlias = tuple[LayerPlan, ...]


def ones(shape: Shape) -> Array:
    return np.ones(shape, np.float32)


def zeros(shape: Shape) -> Array:
    return np.zeros(shape, np.float32)


def pair(what: str, values: Pair) -> Params:
    """Return a kernel, a stride or a padding: one field if height and width are equal, else two."""
    height, width = values
    if height == width:
        return (("kernel_size" if what == "kernel" else what, height),)
    return ((f"{what}_h", height), (f"{what}_w", width))


def convolution(op: ops.Conv) -> Layers:
    dilation = op.dilation[:1] if op.dilation[0] == op.dilation[1] else op.dilation
    params: Params = (
        ("num_output", op.out_channels),
        *pair("kernel", op.kernel),
        *pair("pad", op.padding),
        *pair("stride", op.stride),
        *(("dilation", value) for value in dilation if op.dilation != (1, 1)),
        *((("group", op.groups),) if op.groups != 1 else ()),
        *(() if op.bias else (("bias_term", False),)),
    )
    return (
        LayerPlan(
            "Convolution", params, (WeightBlob("weight"), WeightBlob("bias")) if op.bias else (WeightBlob("weight"),)
        ),
    )


def batchnorm(op: ops.BatchNorm) -> Layers:
    """Return a BatchNorm, whose third blob is the factor that divides the other two, and a Scale with gamma and
    beta."""
    eps: Params = () if op.eps == 1e-5 else (("eps", op.eps),)
    statistics = (WeightBlob("mean"), WeightBlob("variance"), FixedBlob((1,), ones))
    return (
        LayerPlan("BatchNorm", (("use_global_stats", True), *eps), statistics, in_place=True),
        _scale_and_shift(),
    )


def _scale_and_shift() -> LayerPlan:
    return LayerPlan("Scale", (("bias_term", True),), (WeightBlob("gamma"), WeightBlob("beta")), in_place=True)


def groupnorm(op: ops.GroupNorm, shape: Shape, batch: int, dialect: Dialect) -> Layers:
    """Return the layers of a group norm: each group of each image becomes one channel, normalised by its own
    statistics.

    BVLC's MVN is not exact, but a BatchNorm with the statistics of the batch is; its input is one image of batch x
    groups channels, so that the batch size is fixed in the file.
    """
    channels, height, width = shape
    if dialect.exact_mvn:
        grouped, image = (0, op.groups, -1, width), (0, channels, height, width)
        norm = LayerPlan("MVN", (("eps", op.eps),))
    else:
        count = batch * op.groups
        grouped, image = (1, count, -1, width), (batch, channels, height, width)
        eps: Params = () if op.eps == 1e-5 else (("eps", op.eps),)
        unused = (FixedBlob((count,), zeros), FixedBlob((count,), zeros), FixedBlob((1,), zeros))
        norm = LayerPlan("BatchNorm", (("use_global_stats", False), *eps), unused, frozen=True)
    return (_reshape(grouped), norm, _reshape(image), _scale_and_shift())


def _reshape(dims: Shape) -> LayerPlan:
    return LayerPlan("Reshape", (("shape", tuple(("dim", dim) for dim in dims)),))


def lrn(op: ops.Lrn) -> Layers:
    k: Params = () if op.k == 1 else (("k", op.k),)
    return (LayerPlan("LRN", (("local_size", op.size), ("alpha", op.alpha), ("beta", op.beta), *k)),)


def channelconv(op: ops.ChannelConv, shape: Shape) -> Layers:
    """Return the layers of a channelconv: the channels become rows of an image of one channel."""
    kernel = op.size(shape[0])
    params: Params = (
        ("num_output", 1),
        *pair("kernel", (kernel, 1)),
        *pair("pad", (kernel // 2, 0)),
        ("stride", 1),
        ("bias_term", False),
    )
    weight = WeightBlob("weight", (1, 1, kernel, 1))
    return (_reshape((0, 1, -1, 1)), LayerPlan("Convolution", params, (weight,)), _reshape((0, -1, 1, 1)))


def silu(dialect: Dialect) -> Layers:
    if dialect.swish:
        return (LayerPlan("Swish", in_place=True),)
    return (LayerPlan("Sigmoid", reads=("0",), writes=("gate",)), _product("0", "gate"))


def mish() -> Layers:
    """Return the layers of Mish; BNLL is ln(1 + exp(x))."""
    return (
        LayerPlan("BNLL", reads=("0",)),
        LayerPlan("TanH", writes=("gate",), in_place=True),
        _product("0", "gate"),
    )


def relu6(dialect: Dialect) -> Layers:
    """Return a Clip, or two ReLUs and two Powers for dialects without it: min(x, 6) is 6 - max(6 - x, 0)."""
    if dialect.clip:
        return (LayerPlan("Clip", (("min", 0.0), ("max", 6.0)), in_place=True),)
    relu, turn = (
        LayerPlan("ReLU", in_place=True),
        LayerPlan("Power", (("scale", -1.0), ("shift", 6.0)), in_place=True),
    )
    return (relu, turn, relu, turn)


def _product(*reads: str) -> LayerPlan:
    return LayerPlan("Eltwise", (("operation", Enum("PROD")),), reads=reads)


def gate(image: str, values: str) -> Layers:
    """Return the product of an image with one value per channel. Eltwise cannot broadcast; a Scale with two bottoms,
    the second N x C, can."""
    return (
        LayerPlan("Flatten", reads=(values,), writes=("flat",)),
        LayerPlan("Scale", (("axis", 0),), reads=(image, "flat")),
    )


def pooling(op: ops.Pool, method: str, shape: Shape, dialect: Dialect) -> Layers:
    """Return a pooling. Caffe rounds up; if that adds a row or a column, round_mode is set or the addition is
    cut off."""
    pad = pair("pad", op.pad) if op.pad != (0, 0) else ()
    params: Params = (*pair("kernel", op.kernel), *pad, *pair("stride", op.stride), ("pool", Enum(method)))
    if op.ceil or not op.rounds(shape):
        return (LayerPlan("Pooling", params),)
    if dialect.round_mode:
        return (LayerPlan("Pooling", (*params, ("round_mode", Enum("FLOOR")))),)
    up, wanted = ops.rounded_up(op).shape(shape), op.shape(shape)
    layers = [LayerPlan("Pooling", params, writes=("out",))]
    for axis in (1, 2):
        if up[axis] != wanted[axis]:
            cut: Params = (("axis", axis + 1), ("slice_point", wanted[axis]))
            layers.append(LayerPlan("Slice", cut, reads=("out",), writes=("out", "rest")))
            if dialect.silence:
                layers.append(LayerPlan("Silence", reads=("rest",), writes=()))
    return tuple(layers)


def same_average(op: ops.AvgPool) -> Layers:
    """Return an average with equal padding on both sides; excess rows and columns at the start are cropped."""
    (top, bottom), (left, right) = op.pads(0), op.pads(1)
    pad = pair("pad", (bottom, right)) if (bottom, right) != (0, 0) else ()
    params: Params = (*pair("kernel", op.kernel), *pad, ("stride", 1), ("pool", Enum("AVE")))
    offsets = (bottom - top, right - left)
    if offsets == (0, 0):
        return (LayerPlan("Pooling", params),)
    crop: Params = (("axis", 2), *(("offset", offset) for offset in offsets))
    return (
        LayerPlan("Pooling", params, reads=("0",), writes=("padded",)),
        LayerPlan("Crop", crop, reads=("padded", "0")),
    )


def channelpad(op: ops.ChannelPad, shape: Shape) -> Layers:
    """Return a fixed convolution: each output channel is one of the input's, or zero."""

    def identity(blob: Shape) -> Array:
        return np.eye(blob[0], blob[1], -op.before(shape[0]), np.float32).reshape(blob)

    params: Params = (
        ("num_output", op.out_channels),
        ("kernel_size", 1),
        ("pad", 0),
        *pair("stride", op.stride),
        ("bias_term", False),
    )
    return (LayerPlan("Convolution", params, (FixedBlob((op.out_channels, shape[0], 1, 1), identity),), frozen=True),)


def blurpool(op: ops.BlurPool, shape: Shape) -> Layers:
    """Return the reflection of the image, by slices and concatenations, and a fixed blur."""
    channels, height, width = shape

    def binomial(blob: Shape) -> Array:
        row = np.array([1, 2, 1], np.float32) / 4
        return np.tile(np.outer(row, row), (blob[0], 1, 1, 1))

    params: Params = (
        ("num_output", channels),
        ("kernel_size", 3),
        ("pad", 0),
        *pair("stride", op.stride),
        ("group", channels),
        ("bias_term", False),
    )
    blur = LayerPlan("Convolution", params, (FixedBlob((channels, 1, 3, 3), binomial),), frozen=True)
    return (*_reflect(2, height), *_reflect(3, width), blur)


def _reflect(axis: int, size: int) -> Layers:
    """Return the layers that add the second line before the first, and the last but one after the last. They fix the
    image's size."""
    points = sorted({1, 2, size - 2, size - 1} - {0, size})
    pieces = tuple(f"{'rows' if axis == 2 else 'columns'}{number}" for number in range(len(points) + 1))
    cut: Params = (("axis", axis), *(("slice_point", point) for point in points))
    return (
        LayerPlan("Slice", cut, writes=pieces),
        LayerPlan("Concat", (("axis", axis),), reads=(pieces[1], *pieces, pieces[-2])),
    )
