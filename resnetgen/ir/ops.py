"""The whole op vocabulary: attributes, output shape, parameters and MACs of each op, and nowhere else.

Shapes leave the batch out: (channels, height, width), or (features,). A MAC is one multiplication and one addition;
only convolutions and fully connected layers have any, as papers count them.

A field's metadata is how a spec writes it: `short` is its short name (`C=32`), "/" the stride's slash.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import ClassVar, TypeAlias, get_args

from resnetgen.errors import Code

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]
"""Of height and width, in this order."""

MAX_CHANNELS = 1_000_000
MAX_EXTENT = 65_536


class OpError(ValueError):
    """Attributes or input shapes that an op cannot have. Whoever knows the place in the spec adds it."""

    def __init__(self, code: Code, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


@dataclass(frozen=True)
class Parameter:
    """A weight of an op. `trainable` is false for running statistics, which are not counted as parameters."""

    name: str
    """weight, bias, gamma, beta, mean or variance."""
    shape: Shape
    trainable: bool = True

    @property
    def size(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True)
class BaseOp:
    keyword: ClassVar[str]
    """How a spec and the text dump call the op."""
    arity: ClassVar[int | None] = 1
    """The number of inputs; None: two or more."""

    def shape(self, *inputs: Shape) -> Shape:
        """The output's shape. Raises OpError where the inputs do not fit."""
        return inputs[0]

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return ()

    def macs(self, *inputs: Shape) -> int:
        return 0


def _in_range(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        limit = "positive" if value < low == 1 else f"between {low:,} and {high:,}"
        raise OpError(Code.BAD_VALUE, f"{what} is {value:,}; it must be {limit}")


def _fraction(what: str, value: float) -> None:
    # As a float32, too, it must not be 0 or 1.
    if not 1e-37 < value < 1 - 1e-7:
        raise OpError(Code.BAD_VALUE, f"{what} is {value}; it must lie between 0 and 1")


def _check_window(kernel: Pair, stride: Pair, pad: Pair, dilation: Pair = (1, 1)) -> None:
    for what, pair, low in (("kernel", kernel, 1), ("stride", stride, 1), ("pad", pad, 0), ("dilation", dilation, 1)):
        for value in pair:
            _in_range(f"the {what}", value, low, 1024)


def _image(op: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise OpError(
            Code.SHAPE_MISMATCH,
            f"{op} needs an image, channels x height x width, but its input is {show(shape)}",
            "it cannot stand after flatten or fc",
        )
    return shape[0], shape[1], shape[2]


def show(shape: Shape) -> str:
    """A shape as people write it: 64x56x56."""
    return "x".join(map(str, shape))


@dataclass(frozen=True)
class Input(BaseOp):
    """The network's input, an image of float32."""

    keyword: ClassVar[str] = "input"
    arity: ClassVar[int | None] = 0
    image: Shape

    def __post_init__(self) -> None:
        for value in self.image:
            _in_range("an extent of the input", value, 1, MAX_EXTENT)

    def shape(self, *inputs: Shape) -> Shape:
        return self.image


@dataclass(frozen=True)
class Conv(BaseOp):
    """Cross-correlation with zero padding: out = floor((in + 2p - d(k-1) - 1) / s) + 1 for each axis.

    weight: (out_channels, in_channels / groups, kernel height, kernel width); bias: (out_channels,).
    Without a pad, that which keeps the size at stride 1, d(k-1)/2, is used; the kernel must then be odd.
    MACs: out height x out width x the weight's size.
    """

    keyword: ClassVar[str] = "conv"
    kernel: Pair
    out_channels: int
    stride: Pair = field(default=(1, 1), metadata={"short": "/"})
    groups: int = field(default=1, metadata={"short": "C"})
    dilation: Pair = field(default=(1, 1), metadata={"short": "d"})
    pad: Pair | None = field(default=None, metadata={"short": "p"})
    bias: bool = False

    def __post_init__(self) -> None:
        if self.pad is None:
            if self.kernel[0] % 2 == 0 or self.kernel[1] % 2 == 0:
                message = f"an even kernel, {show(self.kernel)}, has no padding that keeps the size"
                raise OpError(Code.BAD_VALUE, message, "write p=0 or another padding")
            same = tuple(d * (k - 1) // 2 for d, k in zip(self.dilation, self.kernel, strict=True))
            object.__setattr__(self, "pad", same)
        _check_window(self.kernel, self.stride, self.padding, self.dilation)
        _in_range("the number of output channels", self.out_channels, 1, MAX_CHANNELS)
        _in_range("the number of groups", self.groups, 1, MAX_CHANNELS)

    @property
    def padding(self) -> Pair:
        assert self.pad is not None
        return self.pad

    def shape(self, *inputs: Shape) -> Shape:
        channels, *extent = _image("conv", inputs[0])
        for what, count in (("input", channels), ("output", self.out_channels)):
            if count % self.groups:
                near = _divisor_near(self.groups, channels, self.out_channels)
                raise OpError(
                    Code.BAD_GROUPS,
                    f"{self.groups} groups do not divide {count} {what} channels",
                    f"the nearest count that divides {channels} and {self.out_channels} is {near}",
                )
        out = []
        for size, k, s, d, p in zip(extent, self.kernel, self.stride, self.dilation, self.padding, strict=True):
            span = size + 2 * p - d * (k - 1) - 1
            if span < 0:
                message = f"a window of {d * (k - 1) + 1} is larger than the padded input, {size + 2 * p}"
                raise OpError(Code.SHAPE_MISMATCH, message)
            out.append(span // s + 1)
        return (self.out_channels, *out)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        weight = Parameter("weight", (self.out_channels, inputs[0][0] // self.groups, *self.kernel))
        return (weight, Parameter("bias", (self.out_channels,))) if self.bias else (weight,)

    def macs(self, *inputs: Shape) -> int:
        _, height, width = self.shape(*inputs)
        return height * width * self.parameters(*inputs)[0].size


def _divisor_near(groups: int, *channels: int) -> int:
    from math import gcd

    common = gcd(*channels)
    return min((n for n in range(1, common + 1) if common % n == 0), key=lambda n: abs(n - groups))


@dataclass(frozen=True)
class BatchNorm(BaseOp):
    """gamma * (x - mean) / sqrt(variance + eps) + beta for each channel, with stored statistics."""

    keyword: ClassVar[str] = "batchnorm"
    eps: float = 1e-5

    def __post_init__(self) -> None:
        _fraction("eps", self.eps)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        each = (inputs[0][0],)
        return (
            Parameter("gamma", each),
            Parameter("beta", each),
            Parameter("mean", each, trainable=False),
            Parameter("variance", each, trainable=False),
        )


@dataclass(frozen=True)
class Relu(BaseOp):
    """max(x, 0)."""

    keyword: ClassVar[str] = "relu"


@dataclass(frozen=True)
class LeakyRelu(BaseOp):
    """x where x >= 0, else slope * x."""

    keyword: ClassVar[str] = "leakyrelu"
    slope: float

    def __post_init__(self) -> None:
        _fraction("the slope", self.slope)


@dataclass(frozen=True)
class Sigmoid(BaseOp):
    """1 / (1 + exp(-x))."""

    keyword: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class Dropout(BaseOp):
    """x: what training leaves out, inference keeps. `ratio` is the fraction that training sets to zero."""

    keyword: ClassVar[str] = "dropout"
    ratio: float

    def __post_init__(self) -> None:
        _fraction("the ratio", self.ratio)


@dataclass(frozen=True)
class Pool(BaseOp):
    """What both poolings share. Where `ceil` is set the size is rounded up, by Caffe's rule:

    out = ceil((in + 2p - k) / s) + 1, less one where p > 0 and the last window would start beyond the image and its
    left pad. Else out = floor((in + 2p - k) / s) + 1. Where p = 0 such a window is refused: Caffe drops it if the other
    axis is padded, OpenCV does not.
    """

    kernel: Pair
    stride: Pair = field(default=(1, 1), metadata={"short": "/"})
    pad: Pair = field(default=(0, 0), metadata={"short": "p"})
    ceil: bool = False

    def __post_init__(self) -> None:
        _check_window(self.kernel, self.stride, self.pad)
        for k, p in zip(self.kernel, self.pad, strict=True):
            if p >= k:
                raise OpError(Code.BAD_VALUE, f"a pad of {p} is not smaller than the kernel, {k}")

    def shape(self, *inputs: Shape) -> Shape:
        channels, *extent = _image(self.keyword, inputs[0])
        return (channels, *(self.windows(size, axis) for axis, size in enumerate(extent)))

    def windows(self, size: int, axis: int) -> int:
        """How many windows an axis of `size` elements has."""
        k, s, p = self.kernel[axis], self.stride[axis], self.pad[axis]
        span = size + 2 * p - k
        if span < 0:
            raise OpError(
                Code.SHAPE_MISMATCH,
                f"a {show(self.kernel)} window is larger than the padded input, {size + 2 * p}",
                "gap pools over whatever size is left" if self.keyword == "avgpool" else "",
            )
        if not self.ceil:
            return span // s + 1
        count = -(-span // s) + 1
        if p and (count - 1) * s >= size + p:
            count -= 1
        if (count - 1) * s >= size + p:
            raise OpError(Code.SHAPE_MISMATCH, f"the last window of this pooling starts outside its input of {size}")
        return count

    def rounds(self, shape: Shape) -> bool:
        """Whether rounding up and rounding down differ for this input; also where a window would start outside."""
        try:
            return replace(self, ceil=True).shape(shape) != replace(self, ceil=False).shape(shape)
        except OpError:
            return True

    def overhang(self, size: int, axis: int) -> int:
        """How far the last window reaches beyond the padded image; 0 where it ends inside."""
        k, s, p = self.kernel[axis], self.stride[axis], self.pad[axis]
        return max(0, (self.windows(size, axis) - 1) * s + k - size - 2 * p)


@dataclass(frozen=True)
class MaxPool(Pool):
    """The largest element under the window; padding never wins."""

    keyword: ClassVar[str] = "maxpool"


@dataclass(frozen=True)
class AvgPool(Pool):
    """The sum under the window divided by the number of elements that count.

    These are the window clipped to the padded image: zeros of the padding count, an overhang by `ceil` does not (as
    in Caffe). With `exclude_pad` the padding does not count either.
    """

    keyword: ClassVar[str] = "avgpool"
    exclude_pad: bool = False


@dataclass(frozen=True)
class GlobalAvgPool(BaseOp):
    """The mean over height and width: (channels, 1, 1)."""

    keyword: ClassVar[str] = "gap"

    def shape(self, *inputs: Shape) -> Shape:
        return (_image("gap", inputs[0])[0], 1, 1)


@dataclass(frozen=True)
class Flatten(BaseOp):
    """(channels, height, width) -> (channels * height * width,), in this order."""

    keyword: ClassVar[str] = "flatten"

    def shape(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)


@dataclass(frozen=True)
class Fc(BaseOp):
    """Fully connected: weight @ x + bias, where an image is flattened first.

    weight: (units, features); bias: (units,). MACs: the weight's size.
    """

    keyword: ClassVar[str] = "fc"
    units: int
    bias: bool = True

    def __post_init__(self) -> None:
        _in_range("the number of units", self.units, 1, MAX_CHANNELS)

    def shape(self, *inputs: Shape) -> Shape:
        return (self.units,)

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        weight = Parameter("weight", (self.units, prod(inputs[0])))
        return (weight, Parameter("bias", (self.units,))) if self.bias else (weight,)

    def macs(self, *inputs: Shape) -> int:
        return self.units * prod(inputs[0])


@dataclass(frozen=True)
class Softmax(BaseOp):
    """exp(x) / sum(exp(x)) over the channels."""

    keyword: ClassVar[str] = "softmax"


@dataclass(frozen=True)
class Add(BaseOp):
    """The sum of inputs of one shape."""

    keyword: ClassVar[str] = "add"
    arity: ClassVar[int | None] = None

    def shape(self, *inputs: Shape) -> Shape:
        for other in inputs[1:]:
            if other != inputs[0]:
                raise OpError(
                    Code.SHAPE_MISMATCH,
                    f"{show(inputs[0])} and {show(other)} cannot be added",
                    "the branches must agree in channels and size",
                )
        return inputs[0]


@dataclass(frozen=True)
class Mul(BaseOp):
    """The product of two inputs; one may have one value a channel, (channels, 1, 1), as a gate does."""

    keyword: ClassVar[str] = "mul"
    arity: ClassVar[int | None] = 2

    def shape(self, *inputs: Shape) -> Shape:
        a, b = inputs
        if a == b or (len(a) == len(b) == 3 and a[0] == b[0] and (1, 1) in (a[1:], b[1:])):
            return max(a, b)
        raise OpError(
            Code.SHAPE_MISMATCH,
            f"{show(a)} and {show(b)} cannot be multiplied",
            "a gate has one value for each channel, such as 64x1x1",
        )


@dataclass(frozen=True)
class Concat(BaseOp):
    """The inputs one after another along the channels."""

    keyword: ClassVar[str] = "concat"
    arity: ClassVar[int | None] = None

    def shape(self, *inputs: Shape) -> Shape:
        for other in inputs[1:]:
            if other[1:] != inputs[0][1:]:
                raise OpError(
                    Code.SHAPE_MISMATCH,
                    f"{show(inputs[0])} and {show(other)} cannot be concatenated",
                    "all but the channels must agree",
                )
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])


Merge: TypeAlias = Add | Mul | Concat
MERGES: dict[str, type[Merge]] = {op.keyword: op for op in get_args(Merge)}
"""Keyword -> op: how branches can come together."""

Op: TypeAlias = (
    Input
    | Conv
    | BatchNorm
    | Relu
    | LeakyRelu
    | Sigmoid
    | Dropout
    | MaxPool
    | AvgPool
    | GlobalAvgPool
    | Flatten
    | Fc
    | Softmax
    | Add
    | Mul
    | Concat
)

VOCABULARY: dict[str, type[Op]] = {op.keyword: op for op in get_args(Op)}
"""Keyword -> op: what a spec can call."""
