"""Ops that Caffe says in several layers: one declaration each. `lift` tries those of more layers first."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias, cast

from msgspec.structs import replace

from resnetgen.formats.caffe.lift_ops import Layers, pair, pooling, real
from resnetgen.formats.patterns import Call, Leaf, Match, Pattern
from resnetgen.formats.values import Word
from resnetgen.ir import ops
from resnetgen.ir.ops import Op, Pair, Shape

Lines: TypeAlias = tuple[int, ...]
"""Indices of rows or columns, in their order."""

X = Leaf("x")
_PROD = {"operation": Word("PROD"), "coeff": None}
_PER_CHANNEL = {"axis": 1, "num_axes": 1}


def _layers(match: Match) -> Layers:
    return cast(Layers, match.net)


def _real(match: Match, part: str, name: str) -> float:
    return real(_layers(match), match.parts[part], name)


def _pair(match: Match, part: str, name: str) -> Pair:
    return pair(_layers(match), match.parts[part], name)


def _pooling(match: Match) -> Op:
    return pooling(_layers(match), match.parts["Pooling"])


def _batchnorm(match: Match) -> Op:
    return ops.BatchNorm(_real(match, "BatchNorm", "eps"))


# Without a bias, beta is zero.
NORMS = tuple(
    Pattern(
        Call(
            "Scale",
            Call("BatchNorm", X, where={"use_global_stats": True}),
            where={"bias_term": has_bias, **_PER_CHANNEL},
        ),
        _batchnorm,
    )
    for has_bias in (True, False)
)

_TURNED = {"power": 1.0, "scale": -1.0, "shift": 6.0}
"""6 - x"""
RELU6 = Pattern(
    Call(
        "Power",
        Call(
            "ReLU",
            Call("Power", Call("ReLU", X, where={"negative_slope": 0.0}), name="turned", where=_TURNED),
            name="cut",
            where={"negative_slope": 0.0},
        ),
        where=_TURNED,
    ),
    lambda match: ops.Relu6(),
)
SILU = Pattern(Call("Eltwise", X, Call("Sigmoid", X), unordered=True, where=_PROD), lambda match: ops.Silu())
MISH = Pattern(Call("Eltwise", X, Call("TanH", Call("BNLL", X)), unordered=True, where=_PROD), lambda match: ops.Mish())
GATE = Pattern(
    Call("Scale", X, Call("Flatten", Leaf("gate")), where={"axis": 0, "bias_term": False}),
    lambda match: ops.Mul() if match.shape("gate") == (*match.shape("x")[:1], 1, 1) and _flattens(match) else None,
)


def _flattens(match: Match) -> bool:
    return (match.value("Flatten", "axis"), match.value("Flatten", "end_axis")) == (1, -1)


def _reshape(match: Match, part: str) -> Shape:
    """Return the shape that a Reshape of all axes is given, with the batch; empty for another Reshape."""
    plain = (match.value(part, "axis"), match.value(part, "num_axes")) == (0, -1)
    dims: Shape = match.value(part, "shape.dim") if plain else ()
    return dims or ()


# Each group of channels of each image becomes one channel, which is normalised by its own statistics.


def _groupnorm(match: Match) -> Op | None:
    """MVN computes the statistics of each image; a BatchNorm, whose images are one, of as many channels as all have."""
    norm = "MVN" if "MVN" in match.parts else "BatchNorm"
    shape, grouped, image = match.shape("x"), _reshape(match, "grouped"), _reshape(match, "image")
    batch = _layers(match).batch if norm == "BatchNorm" else 1
    if len(shape) != 3 or len(grouped) != 4 or image[1:] != shape or image[0] not in (0, _layers(match).batch):
        return None
    first, count, *rest = grouped
    if first != (0 if norm == "MVN" else 1) or rest != [-1, shape[2]] or count < 1 or count % batch:
        return None
    return ops.GroupNorm(count // batch, _real(match, norm, "eps"))


def _grouped(norm: str, where: dict[str, Any]) -> Pattern:
    normed = Call(norm, Call("Reshape", X, name="grouped"), where=where)
    root = Call("Scale", Call("Reshape", normed, name="image"), where={"bias_term": True, **_PER_CHANNEL})
    return Pattern(root, _groupnorm)


GROUPNORMS = (
    _grouped("MVN", {"normalize_variance": True, "across_channels": False}),
    _grouped("BatchNorm", {"use_global_stats": False}),
)


# The channels of one pixel become the rows of an image of one channel, over which a kernel slides.


def _channelconv(match: Match) -> Op | None:
    pixel = match.shape("x")[1:] == (1, 1) and _reshape(match, "rows") == (0, 1, -1, 1)
    if not pixel or _reshape(match, "Reshape") != (0, -1, 1, 1):
        return None
    size, across = _pair(match, "Convolution", "kernel_size")
    pads = _pair(match, "Convolution", "pad")
    return ops.ChannelConv(size) if across == 1 and size % 2 and pads == (size // 2, 0) else None


CHANNELCONV = Pattern(
    Call(
        "Reshape",
        Call(
            "Convolution",
            Call("Reshape", X, name="rows"),
            where={"num_output": 1, "group": 1, "stride": 1, "dilation": 1, "axis": 1, "bias_term": False},
        ),
    ),
    _channelconv,
)


# A reflected image is one whose rows and columns are cut into pieces, which are joined with two of them repeated.


def _reflected(name: str, image: Call | Leaf) -> Call:
    return Call("Concat", Call("Slice", image, name=f"pieces {name}", output=None), name=name, rest=True)


def _lines(match: Match, name: str, axis: int) -> Lines:
    """Return the rows or columns that a Concat of the pieces of one Slice has; empty for any other."""
    pieces = [match.net.producer(output) for output in match.net.inputs(match.parts[name])]
    cut, size = match.parts[f"pieces {name}"], match.shape("x")[axis - 1]
    points = match.value(f"pieces {name}", "slice_point") or ()
    ends = [0, *points, size]
    is_other = match.value(name, "axis") != axis or match.value(f"pieces {name}", "axis") != axis
    if is_other or ends != sorted(set(ends)) or any(piece is None or piece[0] != cut for piece in pieces):
        return ()
    parts = [tuple(range(start, end)) for start, end in pairwise(ends)]
    indices = [piece[1] for piece in pieces if piece]
    return tuple(line for at in indices for line in parts[at]) if max(indices) < len(parts) else ()


def _blurpool(match: Match) -> Op | None:
    """A fixed depthwise 3x3 convolution of the reflected image; a check of the caffemodel compares its values."""
    if len(shape := match.shape("x")) != 3:
        return None
    channels, height, width = shape
    lines = [_lines(match, name, axis) for name, axis in (("rows", 2), ("columns", 3))]
    depthwise = match.value("Convolution", "num_output") == match.value("Convolution", "group") == channels
    if not depthwise or lines != [(1, *range(size), size - 2) for size in (height, width)]:
        return None
    return ops.BlurPool(_pair(match, "Convolution", "stride")) if match.value("Convolution", "is_frozen") else None


BLURPOOL = Pattern(
    Call(
        "Convolution",
        _reflected("columns", _reflected("rows", X)),
        where={"kernel_size": 3, "pad": 0, "dilation": 1, "axis": 1, "bias_term": False},
    ),
    _blurpool,
)


# Poolings that are cropped: Caffe rounds their size up, and pads both sides alike.


def _rounded_down(match: Match) -> Op | None:
    """Slices keep the rows and columns that rounding down has."""
    op = _pooling(match)
    if not isinstance(op, ops.Pool) or not op.ceil:
        return None
    up, down = op.shape(match.shape("x")), (floor := replace(op, ceil=False)).shape(match.shape("x"))
    cuts = {match.value(part, "axis"): match.value(part, "slice_point") for part in match.parts if part != "Pooling"}
    kept = {axis: (down[axis - 1],) for axis in (2, 3) if up[axis - 1] != down[axis - 1]}
    return floor if len(cuts) == len(match.parts) - 1 and cuts == kept else None


def _same_average(match: Match) -> Op | None:
    """Crop takes away the rows and columns that the padding before the image has too many."""
    op = _pooling(match)
    if not isinstance(op, ops.AvgPool) or op.stride != (1, 1):
        return None
    same = ops.AvgPool(op.kernel, same=True)
    (top, bottom), (left, right) = same.pads(0), same.pads(1)
    crop = (match.value("Crop", "axis"), match.value("Crop", "offset"))
    fits = replace(op, ceil=False) == ops.AvgPool(op.kernel, pad=(bottom, right))
    return same if fits and crop == (2, (bottom - top, right - left)) else None


CROPPED = (
    Pattern(Call("Slice", Call("Slice", Call("Pooling", X), name="first")), _rounded_down),
    Pattern(Call("Slice", Call("Pooling", X)), _rounded_down),
    Pattern(Call("Crop", Call("Pooling", X), X), _same_average),
)

PATTERNS = (*NORMS, RELU6, SILU, MISH, GATE, *GROUPNORMS, CHANNELCONV, BLURPOOL, *CROPPED)
