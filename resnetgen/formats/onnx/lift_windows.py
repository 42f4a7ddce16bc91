"""Windows of convolutions and poolings: what a file's attributes say, and the op of the IR with the same windows."""

from __future__ import annotations

from msgspec import Struct

from resnetgen.formats.onnx.lifting import Nodes, Unsupported
from resnetgen.ir.ops import AvgPool, GlobalAvgPool, MaxPool, OpError, Pair, Shape


class Window(Struct, frozen=True):
    """Sizes by axis: height, width."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    begin: Pair
    """Padding at the top and the left."""
    end: Pair
    """Padding at the bottom and the right."""


def read_window(nodes: Nodes, at: int, shape: Shape, kernel: Pair | None = None) -> Window:
    """Return the window of a node for an image, channels x height x width; `auto_pad` is resolved.

    `kernel` is that of the weights. Raises Unsupported for an image or a window of another number of axes.
    """
    if len(shape) != 3:
        raise Unsupported("its input is no image of channels, height and width")
    is_implied = kernel is not None and nodes.value(at, "kernel_shape") is None
    kernel_size = kernel if kernel is not None and is_implied else nodes.ints(at, "kernel_shape", 2)
    if kernel not in (None, kernel_size):
        raise Unsupported(f"its kernel is {kernel_size}, its weights are for {kernel}")
    stride, dilation = (nodes.ints(at, name, 2, default=1) for name in ("strides", "dilations"))
    if min(*kernel_size, *stride, *dilation) < 1:
        raise Unsupported("a kernel, a stride or a dilation is below 1")
    pads = nodes.ints(at, "pads", 4, default=0)
    match nodes.value(at, "auto_pad"):
        case "NOTSET":
            begin, end = pads[:2], pads[2:]
        case "VALID":
            begin, end = (0, 0), (0, 0)
        case "SAME_UPPER" | "SAME_LOWER" as way:
            spans = (d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True))
            whole = [
                max(0, (-(-x // s) - 1) * s + span - x) for x, s, span in zip(shape[1:], stride, spans, strict=True)
            ]
            less, more = tuple(pad // 2 for pad in whole), tuple(pad - pad // 2 for pad in whole)
            begin, end = (less, more) if way == "SAME_UPPER" else (more, less)
        case other:
            raise Unsupported(f"auto_pad is {other}")
    return Window(_pair(kernel_size), _pair(stride), _pair(dilation), _pair(begin), _pair(end))


def read_pool(
    nodes: Nodes, at: int, shape: Shape, padded: tuple[int, ...] = (0, 0, 0, 0)
) -> MaxPool | AvgPool | GlobalAvgPool:
    """Return the pooling of a node for an image.

    `padded`: zeros around the image that count as part of it, as a Pad node before an average adds them. A pooling of
    the IR has the same padding before and after an axis, and may round up the number of windows; more padding after an
    axis is read as that if it gives the same windows. Raises Unsupported for windows that the IR cannot express.
    """
    window = read_window(nodes, at, shape)
    if window.dilation != (1, 1):
        raise Unsupported("a dilated pooling")
    before, after = _pair(padded[:2]), _pair(padded[2:])
    extents = [size + b + e for size, b, e in zip(shape[1:], before, after, strict=True)]
    rounds_up = nodes.value(at, "ceil_mode") == 1
    counts = tuple(_count(window, axis, size, rounds_up) for axis, size in enumerate(extents))
    if nodes.type(at) == "MaxPool":
        options: list[MaxPool | AvgPool] = [
            MaxPool(window.kernel, window.stride, window.begin, ceil) for ceil in (False, True)
        ]
    else:
        options = _averages(window, before, after, counted=nodes.value(at, "count_include_pad") == 1)
    for op in options:
        try:
            if op.shape(shape)[1:] == counts:
                return op
        except OpError:
            continue  # the window does not fit when it is rounded this way
    is_mean = nodes.type(at) == "AveragePool" and not any(padded) and nodes.value(at, "count_include_pad") == 0
    reaches = (k - begin >= size for k, begin, size in zip(window.kernel, window.begin, shape[1:], strict=True))
    if is_mean and counts == (1, 1) and all(reaches):
        return GlobalAvgPool()  # a window larger than the image, whose padding does not count
    raise Unsupported("it is padded otherwise than a pooling of Caffe's rule")


def _averages(window: Window, before: Pair, after: Pair, counted: bool) -> list[MaxPool | AvgPool]:
    """Return the averages with a window's divisor, one of which may have its number of windows.

    Zeros of a Pad node count, and so does the padding of the pooling if it is `counted`. What a last window has beyond
    that does not.
    """
    if counted and window.begin + window.end != (0, 0, 0, 0):
        if before + after != (0, 0, 0, 0):
            raise Unsupported("it pads what is padded already")
        before, after = window.begin, window.end
        if before != after and window.stride != (1, 1):
            raise Unsupported("an average that counts the overhang of its windows")
    elif before + after != (0, 0, 0, 0):
        if window.begin != (0, 0):
            raise Unsupported("it pads what is padded already")
    else:
        return [AvgPool(window.kernel, window.stride, window.begin, ceil, exclude_pad=True) for ceil in (False, True)]
    if before == after:
        return [AvgPool(window.kernel, window.stride, before, ceil) for ceil in (False, True)]
    same = AvgPool(window.kernel, same=True)
    is_same = window.stride == (1, 1) and all((before[axis], after[axis]) == same.pads(axis) for axis in (0, 1))
    return [same] if is_same else []


def _count(window: Window, axis: int, size: int, rounds_up: bool) -> int:
    """Return the number of windows along an axis; a last one that would start in the padding after it is left out."""
    stride, begin = window.stride[axis], window.begin[axis]
    span = size + begin + window.end[axis] - window.kernel[axis]
    if not rounds_up:
        return span // stride + 1
    number = -(-span // stride) + 1
    return number - 1 if (number - 1) * stride >= size + begin else number


def _pair(values: tuple[int, ...]) -> Pair:
    return values[0], values[1]
