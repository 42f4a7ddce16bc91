"""Windows of images: one strided view of the whole image for each element of a kernel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resnetgen.ir.ops.base import Float64, Pair


def pad_image(x: Float64, height: Pair, width: Pair, value: float = 0) -> Float64:
    """Return images (N, C, H, W) with values before and after their height and their width."""
    if not any((*height, *width)):
        return x
    return np.pad(x, ((0, 0), (0, 0), height, width), constant_values=value)


def shifts(x: Float64, kernel: Pair, stride: Pair, size: Pair, dilation: Pair = (1, 1)) -> Iterator[Float64]:
    """Yield for each element of a kernel, row by row, the values under it in all windows: N x C x `size`, a view."""
    height, width = ((count - 1) * step + 1 for count, step in zip(size, stride, strict=True))
    for row in range(0, kernel[0] * dilation[0], dilation[0]):
        for column in range(0, kernel[1] * dilation[1], dilation[1]):
            yield x[:, :, row : row + height : stride[0], column : column + width : stride[1]]


def per_channel(values: Float64, x: Float64) -> Float64:
    """Return one value for each channel in a shape that broadcasts against `x`, which is N x C x ..."""
    return values.reshape(-1, *[1] * (x.ndim - 2))
