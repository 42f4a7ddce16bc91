"""Layers that are one op of the IR on their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnetgen.errors import Code, did_you_mean
from resnetgen.formats.caffe.model.layers import CaffeStructure, Output
from resnetgen.formats.values import Value, Word, show
from resnetgen.ir import ops
from resnetgen.ir.canonical import shortest
from resnetgen.ir.ops import Op, OpError, Pair, Shape


class Layers:
    """Layers of a net for the matcher of patterns. It remembers which attributes are asked for."""

    def __init__(self, model: CaffeStructure, shapes: dict[Output, Shape]) -> None:
        self.model = model
        self.batch = max(1, model.image[0]) if model.image else 1
        """Number of images in the input."""
        self._shapes = shapes
        self._asked: set[tuple[int, str]] = set()

    def type(self, at: int) -> str:
        return self.model.layers[at].type

    def inputs(self, at: int) -> Sequence[Output]:
        return self.model.layers[at].inputs

    def producer(self, output: Any) -> Output:
        return (output[0], output[1])

    def is_constant(self, output: object) -> bool:
        return False

    def shape(self, output: Any) -> Shape:
        return self._shapes[output[0], output[1]]

    def value(self, at: int, name: str) -> Any:
        """Return a parameter of a layer's type, or its default; `is_frozen` says that training does not change it."""
        layer = self.model.layers[at]
        if name == "is_frozen":
            return layer.is_frozen
        self._asked.add((at, name))
        return layer[name]

    def begin(self) -> None:
        """Forget which attributes were asked for."""
        self._asked.clear()

    def ignored(self, at: int) -> str:
        """Return the path of an attribute that was not asked for, so that the op does not depend on it; else empty."""
        layer = self.model.layers[at]
        known = {layer.path(name) for where, name in self._asked if where == at}
        return next((path for path in layer.attributes if path not in known), "")


def unsupported(reason: str, hint: str = "") -> OpError:
    return OpError(Code.UNSUPPORTED, reason, hint)


def layer_op(layers: Layers, at: int) -> Op:
    """Return the op of a layer. Raises OpError for a layer that is no op of the IR, at least not on its own."""

    def get(name: str) -> Any:
        return layers.value(at, name)

    def only(op: Op, **required: Value) -> Op:
        """Return the op if the parameters have these values."""
        for name, value in required.items():
            if get(name) != value:
                raise unsupported(f"its {name} is {show(get(name))}, not {show(value)}")
        return op

    match layers.type(at):
        case "Convolution":
            return only(_conv(layers, at), axis=1)
        case "BatchNorm":
            if not get("use_global_stats"):
                raise unsupported("it uses the statistics of its batch", "use_global_stats: true uses stored ones")
            return ops.BatchNorm(real(layers, at, "eps"))
        case "Scale":
            raise unsupported("it is neither part of a norm nor a gate")
        case "ReLU":
            slope = real(layers, at, "negative_slope")
            return ops.LeakyRelu(slope) if slope else ops.Relu()
        case "ReLU6":
            return ops.Relu6()
        case "Clip":
            return only(ops.Relu6(), min=0.0, max=6.0)
        case "Swish":
            return only(ops.Silu(), beta=1.0)
        case "Mish":
            return ops.Mish()
        case "Sigmoid":
            return ops.Sigmoid()
        case "Dropout":
            return ops.Dropout(real(layers, at, "dropout_ratio"))
        case "LRN":
            op = ops.Lrn(get("local_size"), *(real(layers, at, name) for name in ("alpha", "beta", "k")))
            return only(op, norm_region=Word("ACROSS_CHANNELS"))
        case "Pooling":
            return pooling(layers, at)
        case "Flatten":
            return only(ops.Flatten(), axis=1, end_axis=-1)
        case "InnerProduct":
            return only(ops.Fc(get("num_output") or 0, bias=bool(get("bias_term"))), axis=1, transpose=False)
        case "Softmax":
            return only(ops.Softmax(), axis=1)
        case "Concat":
            return only(ops.Concat(), axis=1)
        case "Eltwise":
            return _eltwise(layers, at)
        case "BNLL" | "Crop" | "MVN" | "Power" | "Reshape" | "Slice" | "TanH":
            raise unsupported("only as part of an op of several layers")
        case other:
            raise unsupported("", did_you_mean(other, _TYPES))


_TYPES = (
    *("BNLL", "BatchNorm", "Clip", "Concat", "Convolution", "Crop", "Dropout", "Eltwise", "Flatten", "InnerProduct"),
    *("Input", "LRN", "MVN", "Mish", "Pooling", "Power", "ReLU", "ReLU6", "Reshape", "Scale", "Sigmoid", "Silence"),
    *("Slice", "Softmax", "Split", "Swish", "TanH"),
)
"""Types of layers that are read, also those that are only part of an op."""


def real(layers: Layers, at: int, name: str) -> float:
    """Return a real number by its shortest decimal."""
    value = layers.value(at, name)
    if not isinstance(value, int | float):
        raise unsupported(f"its {name} is no number")
    return shortest(value)


def pair(layers: Layers, at: int, name: str) -> Pair:
    """Return the height and the width of a window, a stride or a padding; zeros if there is none."""
    value = layers.value(at, name)
    if value is None:
        return (0, 0)
    both: Pair = value if isinstance(value, tuple) else (value, value)
    if len(both) != 2:
        raise unsupported(f"{name} has {len(both)} values")
    return both


def _conv(layers: Layers, at: int) -> Op:
    kernel, stride, pad, dilation = (pair(layers, at, name) for name in ("kernel_size", "stride", "pad", "dilation"))
    count, groups, bias = (layers.value(at, name) for name in ("num_output", "group", "bias_term"))
    return ops.Conv(kernel, count or 0, stride, groups, dilation, pad, bias)


def pooling(layers: Layers, at: int) -> Op:
    """Return the op of a Pooling. Raises OpError."""
    kernel, stride, pad = (pair(layers, at, name) for name in ("kernel_size", "stride", "pad"))
    is_ceil, is_global = layers.value(at, "round_mode") == Word("CEIL"), layers.value(at, "global_pooling")
    match layers.value(at, "pool"):
        case Word("AVE") if is_global and (stride, pad) == ((1, 1), (0, 0)):
            return ops.GlobalAvgPool()
        case Word("MAX") if not is_global:
            return ops.MaxPool(kernel, stride, pad, is_ceil)
        case Word("AVE") if not is_global:
            return ops.AvgPool(kernel, stride, pad, is_ceil)
        case kind:
            raise unsupported(f"{'global ' if is_global else ''}{getattr(kind, 'text', kind)} pooling")


def _eltwise(layers: Layers, at: int) -> Op:
    if layers.value(at, "coeff"):
        raise unsupported("it has coefficients")
    match layers.value(at, "operation"):
        case Word("SUM"):
            return ops.Add()
        case Word("PROD"):
            return ops.Mul()
        case other:
            raise unsupported(f"its operation is {getattr(other, 'text', other)}")
