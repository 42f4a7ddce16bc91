"""Base of all ops: shapes, parameters and errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from math import gcd, prod
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from resnetgen.errors import Code

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]
"""Height and width, in this order."""
Float64: TypeAlias = npt.NDArray[np.float64]

MAX_CHANNELS = 1_000_000
MAX_EXTENT = 65_536


class OpError(ValueError):
    """Attributes or input shapes that an op cannot have. The caller adds the place in the spec."""

    def __init__(self, code: Code, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


class Parameter(Struct, frozen=True):
    """A weight of an op. `trainable` is False for running statistics, which are not counted as parameters."""

    name: str
    """weight, bias, gamma, beta, mean or variance."""
    shape: Shape
    trainable: bool = True

    @property
    def size(self) -> int:
        return prod(self.shape)


class Moments(Struct, frozen=True):
    """Expectation of initialisation about a tensor, if the network's input is standard normal."""

    second: float = 1.0
    """Expected square of a value."""
    is_positive: bool = False
    """True if the values are not, or hardly, negative: a ReLU then keeps them."""


class BaseOp(Struct, frozen=True):
    """Declaration of an op: its fields are attributes, its methods all else that the compiler knows of it."""

    keyword: ClassVar[str]
    """Name of the op in a spec and in the text dump."""
    arity: ClassVar[int | None] = 1
    """Number of inputs; None for two or more."""
    short: ClassVar[Mapping[str, str]] = {}
    """Attribute -> its short name in a spec (`C=32`); "/" is the stride's slash."""

    def shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the output. Raises OpError if the input shapes do not fit."""
        return inputs[0]

    def parameters(self, *inputs: Shape) -> tuple[Parameter, ...]:
        return ()

    def macs(self, *inputs: Shape) -> int:
        return 0

    @abstractmethod
    def moments(self, *inputs: Moments) -> Moments:
        """Return the moments of the output from those of the inputs. Weights have variance 2 / fan_in."""
        raise NotImplementedError(f"{self.keyword} has no moments")

    @abstractmethod
    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        """Return the output by the op's formula, in float64. All tensors have the batch axis first.

        `weights`: the parameters by name. The inputs are not changed; the output may be a view of one.
        """
        raise NotImplementedError(f"{self.keyword} has no formula")


@cache
def attributes(op: type[BaseOp]) -> tuple[FieldInfo, ...]:
    """Return the attributes of an op: their names, types and defaults."""
    return fields(op)


def in_range(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        limit = "positive" if value < low == 1 else f"between {low:,} and {high:,}"
        raise OpError(Code.BAD_VALUE, f"{what} is {value:,}; it must be {limit}")


def fraction(what: str, value: float) -> None:
    # It must not become 0 or 1 as a float32 either.
    if not 1e-37 < value < 1 - 1e-7:
        raise OpError(Code.BAD_VALUE, f"{what} is {value}; it must lie between 0 and 1")


def check_window(kernel: Pair, stride: Pair, pad: Pair, dilation: Pair = (1, 1)) -> None:
    for what, pair, low in (("kernel", kernel, 1), ("stride", stride, 1), ("pad", pad, 0), ("dilation", dilation, 1)):
        for value in pair:
            in_range(f"the {what}", value, low, 1024)


def divisor_near(groups: int, *channels: int) -> int:
    """Return the number nearest to `groups` that divides all of these channel counts, for a hint."""
    common = gcd(*channels)
    return min((n for n in range(1, common + 1) if common % n == 0), key=lambda n: abs(n - groups))


def any_positive(inputs: Sequence[Moments]) -> bool:
    return any(moments.is_positive for moments in inputs)


def as_image(op: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise OpError(
            Code.SHAPE_MISMATCH,
            f"{op} needs an image, channels x height x width, but its input is {show(shape)}",
            "it cannot stand after flatten or fc",
        )
    return shape[0], shape[1], shape[2]


def show(shape: Shape) -> str:
    """Return a shape as text: 64x56x56."""
    return "x".join(map(str, shape))
