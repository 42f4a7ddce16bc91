"""Ops that ONNX writes as several nodes, recognised step by step.

Until the last of its nodes is read, a tensor inside an op is a form: a record of the steps applied so far, and of the
tensor that they were applied to. Each function takes a node and returns the next form, or the finished op of the IR.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.ir import ops
from resnetgen.ir.ops import Op, Pair, Shape

Constant: TypeAlias = npt.NDArray[Any]
"""Values of float32, float16 or int64."""


class Call(Struct, frozen=True):
    """A node of the file, with its inputs sorted into data, weights and constants."""

    kind: str
    tensor: str
    """Name of its output."""
    at: dict[str, Any]
    data: tuple[str, ...]
    weights: tuple[str, ...]
    weight_shapes: tuple[Shape, ...]
    constants: tuple[Constant, ...]

    def stranger(self) -> Failure:
        return unreadable(f"the IR has no word for this {self.kind} ({self.tensor})")


class Padded(Struct, frozen=True):
    """Zero padding that counts as part of the image."""

    source: str
    pads: tuple[int, int, int, int]
    """Padding at the top, the left, the bottom and the right."""


class Reflected(Struct, frozen=True):
    """Padding by one pixel on each side that reflects the second one."""

    source: str


class Taken(Struct, frozen=True):
    """Every `stride`th pixel."""

    source: str
    stride: Pair


class Sequence(Struct, frozen=True):
    """Channels of one pixel as a sequence; after its convolution, with the weight."""

    source: str
    weight: str = ""
    kernel: int = 0


class Grouped(Struct, frozen=True):
    """Groups of channels as sequences; then normalised (eps is set), reshaped to an image, and scaled by gamma."""

    source: str
    groups: int
    eps: float = 0
    is_image: bool = False
    gamma: str = ""


class Softplus(Struct, frozen=True):
    """ln(1 + exp(x)); with `tanh`, the tanh of it."""

    source: str
    tanh: bool = False


Form: TypeAlias = Softplus | Padded | Reflected | Taken | Sequence | Grouped


class Done(Struct, frozen=True):
    op: Op
    source: str
    weights: tuple[str, ...] = ()
    end: Pair | None = None
    """Padding of a pooling at the bottom and the right, with the overhang; None for other ops."""


def begin(call: Call, shape: Shape) -> Form | Done:
    """Return the form or op after the first node, whose input has this shape by the file. Raises Failure (exit 4)."""
    source, constants = call.data[0], _lists(call)
    mode = call.at.get("mode", b"constant")
    match call.kind, constants:
        case _ if call.weights or len(call.data) != 1:
            pass
        case "Softplus", []:
            return Softplus(source)
        case "Pad", [(0, 0, 1, 1, 0, 0, 1, 1)] if mode == b"reflect":
            return Reflected(source)
        case "Pad", [(0, 0, *first, 0, 0, bottom, right)] if mode == b"constant" and any((*first, bottom, right)):
            return Padded(source, (*first, bottom, right))
        case "Pad", [pads] if mode == b"constant":
            return _channelpad(call, source, shape, pads, (1, 1))
        case "Slice", [(0, 0), ends, (2, 3), (down, right)] if ends == shape[1:]:
            return Taken(source, (down, right))
        case "Reshape", [(0, 1, -1)]:
            return Sequence(source)
        case "Reshape", [(0, groups, -1)]:
            return Grouped(source, groups)
    raise call.stranger()


def go_on(call: Call, form: Form, shape: Shape) -> Form | Done:
    """Return the form or op after the next node; `shape` is that of the form's source. Raises Failure (exit 4)."""
    source, constants, at = form.source, _lists(call), call.at
    match call.kind, form:
        case "Tanh", Softplus(tanh=False) if not call.weights and not constants:
            return replace(form, tanh=True)
        case "Mul", Softplus(tanh=True) if call.data[0] == source and len(call.data) == 2:
            return Done(ops.Mish(), source)
        case "AveragePool", Padded() if not call.weights and not constants:
            return _padded_average(call, form)
        case "Conv", Reflected() if _blurs(call, shape):
            return Done(ops.BlurPool(at["strides"]), source)
        case "Pad", Taken() if at.get("mode", b"constant") == b"constant" and len(constants) == 1 and not call.weights:
            return _channelpad(call, source, shape, constants[0], form.stride)
        case "Conv", Sequence(weight="") if len(at) == 2 and len(call.weights) == 1 and not constants:
            kernel = at["kernel_shape"][0]
            if call.weight_shapes == ((1, 1, kernel),) and at["pads"] == (kernel // 2, kernel // 2):
                return replace(form, weight=call.weights[0], kernel=kernel)
        case "Reshape", Sequence(weight=weight) if weight and constants == [(0, -1, 1, 1)]:
            return Done(ops.ChannelConv(form.kernel), source, (weight,))
        case "InstanceNormalization", Sequence(weight="") if constants == [(1.0,), (0.0,)]:
            return Grouped(source, 1, at["epsilon"])  # a norm of one group begins like a channelconv
        case "InstanceNormalization", Grouped(groups=n, eps=0) if constants == [(1.0,) * n, (0.0,) * n]:
            return replace(form, eps=at["epsilon"])
        case "Reshape", Grouped(is_image=False) if form.eps and constants == [(0, *shape)]:
            return replace(form, is_image=True)
        case "Mul", Grouped(is_image=True, gamma="") if _scales(call, shape):
            return replace(form, gamma=call.weights[0])
        case "Add", Grouped(gamma=gamma) if gamma and _scales(call, shape):
            return Done(ops.GroupNorm(form.groups, form.eps), source, (gamma, call.weights[0]))
    raise call.stranger()


def unreadable(what: str) -> Failure:
    return fail(Exit.MODEL, Code.BAD_MODEL, f"the ONNX model cannot be read: {what}")


def _lists(call: Call) -> list[tuple[Any, ...]]:
    return [tuple(values.ravel().tolist()) for values in call.constants]


def _scales(call: Call, shape: Shape) -> bool:
    """Return True if a product or a sum takes one value per channel."""
    return call.weight_shapes == ((*shape[:1], 1, 1),) and not call.constants


def _channelpad(call: Call, source: str, shape: Shape, pads: tuple[int, ...], stride: Pair) -> Done:
    only_channels = len(pads) == 8 and not any((pads[0], *pads[2:5], *pads[6:])) and min(pads) >= 0
    if not only_channels or len(shape) != 3:
        raise call.stranger()
    op = ops.ChannelPad(shape[0] + pads[1] + pads[5], stride, both=pads[1] > 0)
    if op.before(shape[0]) != pads[1]:
        raise call.stranger()
    return Done(op, source)


def _blurs(call: Call, shape: Shape) -> bool:
    if call.weights or len(call.constants) != 1 or len(call.at) != 5:
        return False
    (kernel,), at = call.constants, call.at
    binomial = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 16
    one_each = kernel.shape == (at["group"], 1, 3, 3) and (at["group"],) == shape[:1] and (kernel == binomial).all()
    return bool(one_each) and at["kernel_shape"] == (3, 3) and not any(at["pads"]) and at["dilations"] == (1, 1)


def _padded_average(call: Call, form: Padded) -> Done:
    top, left, bottom, right = call.at["pads"]
    if (top, left) != (0, 0) or call.at["count_include_pad"]:
        raise unreadable("a pooling that pads what is padded already")
    pad, end = form.pads[:2], form.pads[2:]
    if pad != end:
        return Done(_same_average(call, form), form.source)
    rounds_up = (bottom, right) != (0, 0)
    op = ops.AvgPool(call.at["kernel_shape"], call.at["strides"], pad, rounds_up)
    return Done(op, form.source, end=(bottom + pad[0], right + pad[1]))


def _same_average(call: Call, form: Padded) -> ops.AvgPool:
    op = ops.AvgPool(call.at["kernel_shape"], same=True)
    (top, bottom), (left, right) = op.pads(0), op.pads(1)
    if form.pads != (top, left, bottom, right) or any(call.at["pads"]) or call.at["strides"] != (1, 1):
        raise call.stranger()
    return op
