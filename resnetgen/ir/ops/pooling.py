"""Pooling ops. The rounding rule of output sizes is defined here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import ClassVar

import numpy as np
from msgspec.structs import replace

from resnetgen.errors import Code
from resnetgen.ir.ops.base import BaseOp, Float64, Moments, OpError, Pair, Shape, as_image, check_window, show
from resnetgen.ir.ops.windows import pad_image, shifts


class Pool(BaseOp, frozen=True):
    """Base of both poolings. With `ceil` the size is rounded up, by Caffe's rule.

    With `ceil`: out = ceil((in + 2p - k) / s) + 1, less one if p > 0 and the last window would start beyond the image
    and its left pad. Without: out = floor((in + 2p - k) / s) + 1. A last window beyond an axis with p = 0 is refused:
    Caffe drops it if the other axis is padded, OpenCV does not.
    """

    short: ClassVar[Mapping[str, str]] = {"stride": "/", "pad": "p"}
    kernel: Pair
    stride: Pair = (1, 1)
    pad: Pair = (0, 0)
    ceil: bool = False

    def __post_init__(self) -> None:
        check_window(self.kernel, self.stride, self.pad)
        for k, p in zip(self.kernel, self.pad, strict=True):
            if p >= k:
                raise OpError(Code.BAD_VALUE, f"a pad of {p} is not smaller than the kernel, {k}")

    def shape(self, *inputs: Shape) -> Shape:
        channels, *extent = as_image(self.keyword, inputs[0])
        return (channels, *(self.windows(size, axis) for axis, size in enumerate(extent)))

    def windows(self, size: int, axis: int) -> int:
        """Return the number of windows along an axis of `size` elements. Raises OpError if the window does not fit."""
        k, s, p = self.kernel[axis], self.stride[axis], self.pad[axis]
        span = size + 2 * p - k
        if span < 0:
            raise OpError(
                Code.SHAPE_MISMATCH,
                f"a {show(self.kernel)} window is larger than the padded input, {size + 2 * p}",
                "gap pools over whatever size is left"
                if self.keyword == "avgpool"
                else "take a smaller kernel, or stride less before it",
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
        """Return True if rounding up and rounding down give different sizes for this input, or if a window would start
        outside."""
        try:
            return rounded_up(self).shape(shape) != replace(self, ceil=False).shape(shape)
        except OpError:
            return True

    def overhang(self, size: int, axis: int) -> int:
        """Return how far the last window reaches beyond the padded image, in elements; 0 if it ends inside."""
        k, s, p = self.kernel[axis], self.stride[axis], self.pad[axis]
        return max(0, (self.windows(size, axis) - 1) * s + k - size - 2 * p)

    def pads(self, axis: int) -> Pair:
        """Return the number of padded elements before and after an axis."""
        return (self.pad[axis], self.pad[axis])

    def _shifts(self, x: Float64, beyond: float) -> Iterator[Float64]:
        """Yield the values under each element of the kernel in all windows, and `beyond` outside of the image."""
        ends = [self.pads(axis)[1] + self.overhang(size, axis) for axis, size in enumerate(x.shape[2:])]
        height, width = ((self.pads(axis)[0], end) for axis, end in enumerate(ends))
        _, *size = self.shape(x.shape[1:])
        return shifts(pad_image(x, height, width, beyond), self.kernel, self.stride, (size[0], size[1]))


def rounded_up(op: Pool) -> Pool:
    """Return the same pooling with `ceil` set, as Caffe rounds."""
    return replace(op, ceil=True)


class MaxPool(Pool, frozen=True):
    """Largest element of each window; padding never wins."""

    keyword: ClassVar[str] = "maxpool"

    def moments(self, *inputs: Moments) -> Moments:
        return inputs[0]

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        return reduce(np.maximum, self._shifts(inputs[0], -np.inf))


class AvgPool(Pool, frozen=True):
    """Sum of each window divided by the number of elements that count.

    The window is first clipped to the padded image: zeros of the padding count, an overhang by `ceil` does not (as in
    Caffe). With `exclude_pad` the padding does not count either.

    `same` pads with zeros that count, as many as keep the size at stride 1: (k - 1) // 2 at the top and the left, the
    rest at the bottom and the right. TensorFlow calls this SAME; timm's dilated ResNet-D uses it.
    """

    keyword: ClassVar[str] = "avgpool"
    exclude_pad: bool = False
    same: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.same and (self.stride != (1, 1) or self.pad != (0, 0) or self.ceil or self.exclude_pad):
            message = "`same` says how the input is padded at stride 1; it goes with no other option"
            raise OpError(Code.BAD_VALUE, message, "write avgpool 2x2, same")

    def windows(self, size: int, axis: int) -> int:
        return size if self.same else super().windows(size, axis)

    def overhang(self, size: int, axis: int) -> int:
        return 0 if self.same else super().overhang(size, axis)

    def pads(self, axis: int) -> Pair:
        if self.same:
            before = (self.kernel[axis] - 1) // 2
            return (before, self.kernel[axis] - 1 - before)
        return super().pads(axis)

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(inputs[0].second / 2, inputs[0].is_positive)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        (x,) = inputs
        counts = [self._counts(size, axis) for axis, size in enumerate(x.shape[2:])]
        return reduce(np.add, self._shifts(x, 0)) / np.outer(*counts)

    def _counts(self, size: int, axis: int) -> Float64:
        """Return the number of elements of each window along an axis that count."""
        (before, after), k = self.pads(axis), self.kernel[axis]
        starts = np.arange(self.windows(size, axis)) * self.stride[axis] - before
        first, end = (0, size) if self.exclude_pad else (-before, size + after)
        return np.asarray(np.minimum(starts + k, end) - np.maximum(starts, first), np.float64)


class GlobalAvgPool(BaseOp, frozen=True):
    """Mean over height and width: (channels, 1, 1)."""

    keyword: ClassVar[str] = "gap"

    def shape(self, *inputs: Shape) -> Shape:
        return (as_image("gap", inputs[0])[0], 1, 1)

    def moments(self, *inputs: Moments) -> Moments:
        return Moments(inputs[0].second / 2, inputs[0].is_positive)

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        mean: Float64 = inputs[0].mean(axis=(2, 3), keepdims=True)
        return mean


class BlurPool(BaseOp, frozen=True):
    """The image blurred by [1, 2, 1] / 4 in each direction, then subsampled by `stride` (Zhang 2019).

    The image is reflected at its edges: the pixel before the first is the second. out = floor((in - 1) / s) + 1.
    """

    keyword: ClassVar[str] = "blurpool"
    short: ClassVar[Mapping[str, str]] = {"stride": "/"}
    stride: Pair = (2, 2)

    def __post_init__(self) -> None:
        check_window((3, 3), self.stride, (1, 1))

    def shape(self, *inputs: Shape) -> Shape:
        channels, *extent = as_image("blurpool", inputs[0])
        if min(extent) < 2:
            message = f"blurpool reflects the second pixel, but its input is {show(inputs[0])}"
            raise OpError(Code.SHAPE_MISMATCH, message, "blur before the image is so small, or leave it out")
        return (channels, *((size - 1) // s + 1 for size, s in zip(extent, self.stride, strict=True)))

    def moments(self, *inputs: Moments) -> Moments:
        return inputs[0]

    def compute(self, *inputs: Float64, **weights: Float64) -> Float64:
        (x,) = inputs
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
        rows = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
        blurred = rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]
        return blurred[:, :, :: self.stride[0], :: self.stride[1]] / 16
