"""Ops that ONNX writes as several nodes: each function returns the nodes from the op's input to its output."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from resnetgen.ir import ops
from resnetgen.ir.ops import Shape


class ConstantInput(Struct, frozen=True, eq=False):
    """An untrained input of a node, written into the model as `<node>.<label>`.

    Float constants are rounded to the type in which the network computes.
    """

    label: str
    values: npt.NDArray[Any]
    """Values of int64 or float32."""


Tensor: TypeAlias = str | ConstantInput


class NodePlan(Struct, frozen=True):
    """One ONNX node, named like its output."""

    type: str
    inputs: list[Tensor]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)
    shape: Shape | None = None
    """Shape of an output that is not the output of a node of the graph."""


def _ints(label: str, *values: int) -> ConstantInput:
    return ConstantInput(label, np.array(values, np.int64))


def window(op: ops.Pool, shape: Shape) -> dict[str, Any]:
    """Return the attributes of a pooling, with explicit pads that give the same windows by floor: runtimes differ in
    ceil_mode."""
    ends = [pad + op.overhang(size, axis) for axis, (pad, size) in enumerate(zip(op.pad, shape[1:], strict=True))]
    return {"kernel_shape": list(op.kernel), "strides": list(op.stride), "pads": [*op.pad, *ends]}


def average(op: ops.AvgPool, shape: Shape, x: str, output: str) -> Iterator[NodePlan]:
    """Yield the nodes of an average pooling.

    ONNX counts all padding or none. Caffe counts the padding but not the overhang of the last window: if both occur,
    the padding is a Pad node, and the overhang is padding that does not count.
    """
    if op.same and pads_apart(op, shape):
        yield from _same_average(op, shape, x, output)
        return
    attributes = window(op, shape)
    counted = op.pad != (0, 0) and not op.exclude_pad
    if not pads_apart(op, shape):
        yield NodePlan("AveragePool", [x], output, {**attributes, "count_include_pad": int(counted)})
        return
    padded = f"{output}/padded"
    top, left = op.pad
    inner = (shape[0], shape[1] + 2 * top, shape[2] + 2 * left)
    pads_input = _ints("pads", 0, 0, top, left, 0, 0, top, left)
    yield NodePlan("Pad", [x, pads_input], padded, shape=inner)
    rest = [pad - own for pad, own in zip(attributes["pads"], (top, left, top, left), strict=True)]
    yield NodePlan("AveragePool", [padded], output, {**attributes, "pads": rest, "count_include_pad": 0})


def _same_average(op: ops.AvgPool, shape: Shape, x: str, output: str) -> Iterator[NodePlan]:
    """Yield a Pad node and a pooling: ONNX Runtime up to 1.23 does not count uneven padding of a pooling from opset 19
    on."""
    (top, bottom), (left, right) = op.pads(0), op.pads(1)
    padded = f"{output}/padded"
    inner = (shape[0], shape[1] + top + bottom, shape[2] + left + right)
    yield NodePlan("Pad", [x, _ints("pads", 0, 0, top, left, 0, 0, bottom, right)], padded, shape=inner)
    window = {"kernel_shape": list(op.kernel), "strides": [1, 1], "pads": [0, 0, 0, 0]}
    yield NodePlan("AveragePool", [padded], output, {**window, "count_include_pad": 0})


def pads_apart(op: ops.AvgPool, shape: Shape) -> bool:
    """Return True if the padding of an average needs a Pad node: it counts and the overhang does not, or it is
    uneven."""
    if op.same:
        return op.kernel != (1, 1)
    counted = op.pad != (0, 0) and not op.exclude_pad
    return counted and any(op.overhang(size, axis) for axis, size in enumerate(shape[1:]))


def fc(shape: Shape, inputs: list[Tensor], output: str) -> Iterator[NodePlan]:
    """Yield the nodes of an fc. Gemm takes a matrix, so an image is flattened first."""
    if len(shape) > 1:
        flat = f"{output}/flat"
        yield NodePlan("Flatten", inputs[:1], flat, {"axis": 1}, (prod(shape),))
        inputs = [flat, *inputs[1:]]
    yield NodePlan("Gemm", inputs, output, {"transB": 1})


def silu(shape: Shape, x: str, output: str) -> Iterator[NodePlan]:
    gate = f"{output}/sigmoid"
    yield NodePlan("Sigmoid", [x], gate, shape=shape)
    yield NodePlan("Mul", [x, gate], output)


def mish(shape: Shape, x: str, output: str) -> Iterator[NodePlan]:
    """Yield the nodes of Mish, for opsets before 18."""
    softplus, gate = f"{output}/softplus", f"{output}/tanh"
    yield NodePlan("Softplus", [x], softplus, shape=shape)
    yield NodePlan("Tanh", [softplus], gate, shape=shape)
    yield NodePlan("Mul", [x, gate], output)


def relu6(x: str, output: str) -> NodePlan:
    low, high = (ConstantInput(label, np.array(value, np.float32)) for label, value in (("min", 0), ("max", 6)))
    return NodePlan("Clip", [x, low, high], output)


def groupnorm(op: ops.GroupNorm, shape: Shape, inputs: list[Tensor], output: str) -> Iterator[NodePlan]:
    """Yield the nodes of a group norm: each group is one channel of a sequence, normalised without scale. Works for any
    batch and size."""
    x, gamma, beta = inputs
    grouped, normed, image, scaled = (f"{output}/{what}" for what in ("grouped", "normed", "image", "scaled"))
    sequence = (op.groups, prod(shape) // op.groups)
    ones, zeros = (
        ConstantInput(label, make(op.groups, np.float32)) for label, make in (("one", np.ones), ("zero", np.zeros))
    )
    yield NodePlan("Reshape", [x, _ints("groups", 0, op.groups, -1)], grouped, shape=sequence)
    yield NodePlan("InstanceNormalization", [grouped, ones, zeros], normed, {"epsilon": op.eps}, sequence)
    yield NodePlan("Reshape", [normed, _ints("image", 0, *shape)], image, shape=shape)
    yield NodePlan("Mul", [image, gamma], scaled, shape=shape)
    yield NodePlan("Add", [scaled, beta], output)


def channelconv(op: ops.ChannelConv, shape: Shape, inputs: list[Tensor], output: str) -> Iterator[NodePlan]:
    """Yield the nodes of a channelconv: the channels are a sequence with one channel."""
    x, weight = inputs
    sequence, convolved = f"{output}/sequence", f"{output}/convolved"
    kernel = op.size(shape[0])
    attributes = {"kernel_shape": [kernel], "pads": [kernel // 2, kernel // 2]}
    yield NodePlan("Reshape", [x, _ints("sequence", 0, 1, -1)], sequence, shape=(1, shape[0]))
    yield NodePlan("Conv", [sequence, weight], convolved, attributes, (1, shape[0]))
    yield NodePlan("Reshape", [convolved, _ints("image", 0, -1, 1, 1)], output)


def blurpool(op: ops.BlurPool, shape: Shape, x: str, output: str) -> Iterator[NodePlan]:
    channels, height, width = shape
    padded = f"{output}/padded"
    yield NodePlan(
        "Pad",
        [x, _ints("pads", 0, 0, 1, 1, 0, 0, 1, 1)],
        padded,
        {"mode": "reflect"},
        (channels, height + 2, width + 2),
    )
    row = np.array([1, 2, 1], np.float32) / 4
    kernel = ConstantInput("blur", np.tile(np.outer(row, row), (channels, 1, 1, 1)))
    attributes = {"kernel_shape": [3, 3], "strides": list(op.stride), "pads": [0] * 4, "dilations": [1, 1]}
    yield NodePlan("Conv", [padded, kernel], output, {**attributes, "group": channels})


def channelpad(op: ops.ChannelPad, shape: Shape, x: str, output: str) -> Iterator[NodePlan]:
    channels, *extent = op.shape(shape)
    if op.stride != (1, 1):
        taken = f"{output}/taken"
        ends = _ints("ends", *shape[1:])
        inputs: list[Tensor] = [x, _ints("starts", 0, 0), ends, _ints("axes", 2, 3), _ints("steps", *op.stride)]
        yield NodePlan("Slice", inputs, taken, shape=(shape[0], *extent))
        x = taken
    before = op.before(shape[0])
    pads = _ints("pads", 0, before, 0, 0, 0, channels - shape[0] - before, 0, 0)
    yield NodePlan("Pad", [x, pads], output)
