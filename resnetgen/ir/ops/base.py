"""What every op is: shapes, parameters, the errors that it raises."""

from __future__ import annotations

from math import gcd, prod
from typing import ClassVar, TypeAlias

from resnetgen.errors import Code
from resnetgen.frozen import Frozen

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


class Parameter(Frozen):
    """A weight of an op. `trainable` is false for running statistics, which are not counted as parameters."""

    name: str
    """weight, bias, gamma, beta, mean or variance."""
    shape: Shape
    trainable: bool = True

    @property
    def size(self) -> int:
        return prod(self.shape)


class BaseOp(Frozen):
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


def in_range(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        limit = "positive" if value < low == 1 else f"between {low:,} and {high:,}"
        raise OpError(Code.BAD_VALUE, f"{what} is {value:,}; it must be {limit}")


def fraction(what: str, value: float) -> None:
    # As a float32, too, it must not be 0 or 1.
    if not 1e-37 < value < 1 - 1e-7:
        raise OpError(Code.BAD_VALUE, f"{what} is {value}; it must lie between 0 and 1")


def check_window(kernel: Pair, stride: Pair, pad: Pair, dilation: Pair = (1, 1)) -> None:
    for what, pair, low in (("kernel", kernel, 1), ("stride", stride, 1), ("pad", pad, 0), ("dilation", dilation, 1)):
        for value in pair:
            in_range(f"the {what}", value, low, 1024)


def divisor_near(groups: int, *channels: int) -> int:
    """The count nearest to `groups` that divides all of these channels, for a hint."""
    common = gcd(*channels)
    return min((n for n in range(1, common + 1) if common % n == 0), key=lambda n: abs(n - groups))


def as_image(op: str, shape: Shape) -> tuple[int, int, int]:
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
