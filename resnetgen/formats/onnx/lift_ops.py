"""Ops of the IR that are one node of a file: operator -> function that returns the op.

Each raises Unsupported for a node that no op of the IR is, or OpError for attributes that an op cannot have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from resnetgen.formats.onnx.lift_windows import read_pool, read_window
from resnetgen.formats.onnx.lifting import LiftedOps, Nodes, StoredWeight, Unsupported, count
from resnetgen.formats.onnx.model.attributes import OLDEST, SINCE
from resnetgen.ir import ops
from resnetgen.ir.ops import Op, Shape


def lift_node(nodes: Nodes, at: int) -> LiftedOps:
    """Return the op of a node. Raises Unsupported, or OpError."""
    operator = nodes.type(at)
    if operator not in _OPERATORS:
        raise Unsupported("")
    node = nodes.nodes[at]
    if nodes.model.opset < SINCE.get(operator, OLDEST):
        raise Unsupported(f"opset {nodes.model.opset} does not have it")
    if node.unknown:
        raise Unsupported(f"opset {nodes.model.opset} has no attribute {', '.join(node.unknown)} of this type")
    if any(node.outputs[1:]) and operator not in ("BatchNormalization", "Dropout", "MaxPool"):
        raise Unsupported("it has several outputs")
    return _OPERATORS[operator](nodes, at)


def _tensors(nodes: Nodes, at: int, data: int, weights: Sequence[int] = (0,)) -> tuple[list[str], list[str]]:
    """Return a node's inputs, apart: those that are computed, and those behind them with values in the file.

    `weights`: numbers that a node may have. Raises Unsupported for other inputs.
    """
    inputs = nodes.inputs(at)
    names = [name for name in inputs if name is not None]
    computed = [name for name in names if not nodes.is_constant(name)]
    rest = names[data:]
    if len(names) != len(inputs) or computed != names[:data] or len(computed) != data or len(rest) not in weights:
        raise Unsupported("it has other inputs than it can have, or weights that are computed")
    return computed, rest


def _simple(op: Op) -> Callable[[Nodes, int], LiftedOps]:
    """Return the function of an operator that has one input and no attributes."""

    def lift(nodes: Nodes, at: int) -> LiftedOps:
        return LiftedOps((op,), tuple(_tensors(nodes, at, 1)[0]))

    return lift


def _identity(nodes: Nodes, at: int) -> LiftedOps:
    """Return another name of a tensor, perhaps of a weight that several nodes share."""
    (x,) = nodes.inputs(at)
    return LiftedOps((), (x or "",))


def _merge(op: Op) -> Callable[[Nodes, int], LiftedOps]:
    def lift(nodes: Nodes, at: int) -> LiftedOps:
        data, _ = _tensors(nodes, at, len(nodes.inputs(at)))
        return LiftedOps((op,) if len(data) > 1 else (), tuple(data))

    return lift


def _concat(nodes: Nodes, at: int) -> LiftedOps:
    data, _ = _tensors(nodes, at, len(nodes.inputs(at)))
    if nodes.axis(at, len(nodes.shape(data[0])) + 1) != 1:
        raise Unsupported("it joins other axes than the channels")
    return LiftedOps((ops.Concat(),) if len(data) > 1 else (), tuple(data))


def _conv(nodes: Nodes, at: int) -> LiftedOps:
    (x,), weights = _tensors(nodes, at, 1, (1, 2))
    out_channels, _, *kernel = (*nodes.shape(weights[0]), 0, 0)[:4]
    if len(nodes.shape(weights[0])) != 4:
        raise Unsupported("a convolution over other axes than height and width")
    window = read_window(nodes, at, nodes.shape(x), (kernel[0], kernel[1]))
    if window.begin != window.end:
        raise Unsupported("a convolution with uneven padding")
    op = ops.Conv(
        kernel=window.kernel,
        out_channels=out_channels,
        stride=window.stride,
        groups=nodes.value(at, "group"),
        dilation=window.dilation,
        pad=window.begin,
        bias=len(weights) == 2,
    )
    return LiftedOps((op,), (x,), tuple(map(StoredWeight, weights)))


def _batchnorm(nodes: Nodes, at: int) -> LiftedOps:
    (x,), weights = _tensors(nodes, at, 1, (4,))
    if nodes.value(at, "training_mode") or nodes.value(at, "spatial") == 0 or any(nodes.nodes[at].outputs[1:]):
        raise Unsupported("a norm in training, or one over each place of an image")
    return LiftedOps((ops.BatchNorm(nodes.value(at, "epsilon")),), (x,), tuple(map(StoredWeight, weights)))


def _groupnorm(nodes: Nodes, at: int) -> LiftedOps:
    (x,), weights = _tensors(nodes, at, 1, (2,))
    groups = nodes.integer(at, "num_groups") if nodes.type(at) == "GroupNormalization" else nodes.shape(x)[0]
    if nodes.type(at) == "GroupNormalization" and nodes.model.opset < 21:
        raise Unsupported("it scales groups, not channels, before opset 21")
    if any(len(nodes.shape(name)) != 1 for name in weights):
        raise Unsupported("its scale or its shift has several axes")
    return LiftedOps((ops.GroupNorm(groups, nodes.value(at, "epsilon")),), (x,), tuple(map(StoredWeight, weights)))


def _lrn(nodes: Nodes, at: int) -> LiftedOps:
    (x,), _ = _tensors(nodes, at, 1)
    alpha, beta, bias = (nodes.value(at, name) for name in ("alpha", "beta", "bias"))
    return LiftedOps((ops.Lrn(nodes.integer(at, "size"), alpha, beta, bias),), (x,))


def _leaky_relu(nodes: Nodes, at: int) -> LiftedOps:
    slope = nodes.value(at, "alpha")
    return LiftedOps((ops.LeakyRelu(slope) if slope else ops.Relu(),), tuple(_tensors(nodes, at, 1)[0]))


def _clip(nodes: Nodes, at: int) -> LiftedOps:
    low, high = nodes.value(at, "min"), nodes.value(at, "max")
    if low != 0 or (high != 6 and high is not None and high < _LARGEST):
        raise Unsupported(f"it limits values to {low} and {high}; relu6 has 0 and 6")
    return LiftedOps((ops.Relu6() if high == 6 else ops.Relu(),), tuple(_tensors(nodes, at, 1)[0]))


_LARGEST = 3.4e38
"""Limits above it are none: the largest float32 is the default of opsets below 11."""


def _gelu(nodes: Nodes, at: int) -> LiftedOps:
    if nodes.value(at, "approximate") != "none":
        raise Unsupported("an approximation of gelu")
    return LiftedOps((ops.Gelu(),), tuple(_tensors(nodes, at, 1)[0]))


def _dropout(nodes: Nodes, at: int) -> LiftedOps:
    (x,), _ = _tensors(nodes, at, 1)
    ratio = nodes.value(at, "ratio")
    if nodes.value(at, "training_mode"):
        raise Unsupported("a dropout in training")
    return LiftedOps((ops.Dropout(ratio),) if isinstance(ratio, float) and 0 < ratio < 1 else (), (x,))


def _pool(nodes: Nodes, at: int) -> LiftedOps:
    (x,), _ = _tensors(nodes, at, 1)
    return LiftedOps((read_pool(nodes, at, nodes.shape(x)),), (x,))


def _mean(nodes: Nodes, at: int) -> LiftedOps:
    (x,), _ = _tensors(nodes, at, 1)
    if len(nodes.shape(x)) != 3 or nodes.axes(at, 4) != (2, 3):
        raise Unsupported("a mean over other axes than height and width")
    return LiftedOps((ops.GlobalAvgPool(),) + (() if nodes.value(at, "keepdims") else (ops.Flatten(),)), (x,))


def _flatten(nodes: Nodes, at: int) -> LiftedOps:
    (x,), _ = _tensors(nodes, at, 1)
    if nodes.axis(at, len(nodes.shape(x)) + 1) != 1:
        raise Unsupported("it flattens other axes than all but the batch")
    return LiftedOps((ops.Flatten(),), (x,))


def _squeeze(nodes: Nodes, at: int) -> LiftedOps:
    (x,), _ = _tensors(nodes, at, 1)
    shape = nodes.shape(x)
    if len(shape) != 3 or shape[1:] != (1, 1) or nodes.axes(at, 4) != (2, 3):
        raise Unsupported("it removes other axes than height and width of one pixel")
    return LiftedOps((ops.Flatten(),), (x,))


def _reshape(nodes: Nodes, at: int) -> LiftedOps:
    (x,), _ = _tensors(nodes, at, 1)
    shape = nodes.shape(x)
    target = _reshaped(nodes, at, shape)
    if target == shape:
        return LiftedOps((), (x,))
    if target != (count(shape),):
        raise Unsupported(f"it makes {target} of {shape}")
    return LiftedOps((ops.Flatten(),), (x,))


def _reshaped(nodes: Nodes, at: int, shape: Shape) -> Shape:
    """Return the new shape of one image. The first extent must be that of the batch: 0, -1 or the number itself."""
    shape_value = nodes.value(at, "shape")
    if (
        not isinstance(shape_value, tuple)
        or not shape_value
        or not all(type(one) is int and one >= -1 for one in shape_value)
    ):
        raise Unsupported("its shape is computed")
    batch = nodes.model.inputs[0].shape
    fixed = batch[0] if batch else ""
    first, *rest = shape_value
    whole = [shape[place] if one == 0 and place < len(shape) else one for place, one in enumerate(rest)]
    left, known = count(shape), count(tuple(one for one in whole if one != -1))
    sizes = tuple(left // known if one == -1 and known else one for one in whole)
    keeps_batch = first in (0, fixed) or (first == -1 and -1 not in rest) or (first == 1 == fixed)
    if not keeps_batch or whole.count(-1) > 1 or nodes.value(at, "allowzero") or count(sizes) != left:
        raise Unsupported(f"its shape is {shape_value} for {shape}")
    return sizes


def _gemm(nodes: Nodes, at: int) -> LiftedOps:
    (x,), weights = _tensors(nodes, at, 1, (1, 2))
    if (nodes.value(at, "alpha"), nodes.value(at, "beta"), nodes.value(at, "transA")) != (1, 1, 0):
        raise Unsupported("a product with a factor, or with a transposed input")
    return fully_connected(nodes, x, weights, transposed=not nodes.value(at, "transB"))


def _matmul(nodes: Nodes, at: int) -> LiftedOps:
    (x,), weights = _tensors(nodes, at, 1, (1,))
    return fully_connected(nodes, x, weights, transposed=True)


def fully_connected(nodes: Nodes, x: str, weights: Sequence[str], transposed: bool) -> LiftedOps:
    """Return the fc of a matrix, outputs x inputs or `transposed`, and perhaps a bias."""
    shape, matrix = nodes.shape(x), nodes.shape(weights[0])
    if len(shape) != 1 or len(matrix) != 2:
        raise Unsupported("it multiplies no vector by a matrix")
    outputs, inputs = reversed(matrix) if transposed else matrix
    if inputs != shape[0] or any(count(nodes.shape(bias)) != outputs for bias in weights[1:]):
        raise Unsupported(f"its weights are {matrix} for {inputs} inputs, of which there are {shape[0]}")
    first, *bias = weights
    op = ops.Fc(outputs, bias=bool(bias))
    return LiftedOps((op,), (x,), (StoredWeight(first, transposed), *map(StoredWeight, bias)))


def _softmax(nodes: Nodes, at: int) -> LiftedOps:
    (x,), _ = _tensors(nodes, at, 1)
    shape = nodes.shape(x)
    axis = nodes.axis(at, len(shape) + 1)
    over_pixels = nodes.model.opset < 13 and count(shape) != shape[0]  # before opset 13 over all axes behind it
    if axis != 1 or over_pixels:
        raise Unsupported("a softmax over other axes than the channels")
    return LiftedOps((ops.Softmax(),), (x,))


_OPERATORS: dict[str, Callable[[Nodes, int], LiftedOps]] = {
    "Add": _merge(ops.Add()),
    "AveragePool": _pool,
    "BatchNormalization": _batchnorm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _simple(ops.GlobalAvgPool()),
    "GroupNormalization": _groupnorm,
    "Identity": _identity,
    "InstanceNormalization": _groupnorm,
    "LRN": _lrn,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Mish": _simple(ops.Mish()),
    "Mul": _merge(ops.Mul()),
    "ReduceMean": _mean,
    "Relu": _simple(ops.Relu()),
    "Reshape": _reshape,
    "Sigmoid": _simple(ops.Sigmoid()),
    "Softmax": _softmax,
    "Squeeze": _squeeze,
    "Sum": _merge(ops.Add()),
}
