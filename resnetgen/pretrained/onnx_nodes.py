"""ONNX nodes as records in one canonical form."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from resnetgen.comparison import Record, Value, Word
from resnetgen.formats.onnx.schema import AttributeProto, NodeProto, TensorProto
from resnetgen.formats.values import canonical
from resnetgen.ir.ops import Pair
from resnetgen.pretrained.pooling import Window

PASSED = frozenset({"Identity", "Dropout", "Cast", "Flatten", "Squeeze", "Unsqueeze"})
"""Types that compute nothing."""
Constants: TypeAlias = Mapping[str, npt.NDArray[Any] | None]
"""Name of a tensor -> its values; None if they are not read."""

_COMMUTATIVE = ("Add", "Sum", "Mul")
_IGNORED = ("kernel_shape", "momentum", "training_mode", "is_test", "spatial", "storage_order", "consumed_inputs")
"""Attributes that follow from the weights, or that inference does not use."""
_EPSILON: Value = canonical(1e-5)
_DEFAULTS: dict[str, dict[str, Value]] = {
    "Conv": {"auto_pad": Word("NOTSET"), "dilations": 1, "group": 1, "pads": 0, "strides": 1},
    "MaxPool": {"auto_pad": Word("NOTSET"), "ceil_mode": 0, "dilations": 1, "pads": 0, "strides": 1},
    "AveragePool": {
        "auto_pad": Word("NOTSET"),
        "ceil_mode": 0,
        "count_include_pad": 0,
        "dilations": 1,
        "pads": 0,
        "strides": 1,
    },
    "BatchNormalization": {"epsilon": _EPSILON},
    "GroupNormalization": {"epsilon": _EPSILON},
    "InstanceNormalization": {"epsilon": _EPSILON},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0},
    "Gelu": {"approximate": Word("none")},
    "LeakyRelu": {"alpha": canonical(0.01)},
    "LRN": {"alpha": canonical(1e-4), "beta": 0.75, "bias": 1.0},
    "Pad": {"mode": Word("constant")},
}
"""Default values of a node's attributes."""
_NAMED_INPUTS = {("Pad", 1): "pads", ("Clip", 1): "min", ("Clip", 2): "max", ("ReduceMean", 1): "axes"}
_OF_SIZES = {("Reshape", 1), ("Slice", 2)}
"""Constants that follow from the size of the image: a new shape, and the end of a slice."""
_SPATIAL = ((2, 3), (-2, -1), (-1, -2), (3, 2))
_MAX_LISTED = 16
"""Limit of values of a constant that are compared one by one; larger ones by checksum."""

Held: TypeAlias = Mapping[int, npt.NDArray[Any] | None]
"""Position among a node's inputs -> constant."""


def written(node: NodeProto, held: Held, whole: frozenset[Pair], exact: frozenset[Window]) -> Record:
    """Return a node as a record, without its inputs. `whole` and `exact` are those of pooling.py."""
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    kind = f"{domain}{node.op_type}"
    found = _DEFAULTS.get(kind, {}) | {str(one.name): _value(one) for one in node.attribute}
    for position, values in held.items():
        if (kind, position) not in _OF_SIZES:
            found[_NAMED_INPUTS.get((kind, position), f"input {position}")] = _shown(values)
    outputs = max(1, len(node.output))
    name = str(node.name or (node.output[0] if node.output else ""))
    match kind:
        case "ReduceMean" if found.get("axes") in _SPATIAL:
            return Record(name, "GlobalAveragePool")
        case "Sum" if len(node.input) == 2:
            kind = "Add"
        case "Reshape" if (shape := held.get(1)) is not None and shape.size == 2:
            kind = "Flatten"
        case "AveragePool" | "MaxPool" if isinstance(window := _window(found), tuple):
            kernel, _, pad = window
            if kind == "AveragePool" and kernel in whole and pad == (0, 0):
                return Record(name, "GlobalAveragePool")
            found = _pooling(kind, found, window, exact)
    found = {name: one for name, one in found.items() if name not in _IGNORED}
    if found.get("auto_pad") == Word("VALID"):
        found |= {"auto_pad": Word("NOTSET"), "pads": 0}
    return Record(name, kind, found, outputs=outputs, commutative=kind in _COMMUTATIVE)


def _window(found: Mapping[str, Value]) -> Window | None:
    """Return the window of a pooling over two axes with explicit padding; None for others."""
    pads = _numbers(found["pads"], 4)
    kernel, stride = (_numbers(found.get(name, 1), 2) for name in ("kernel_shape", "strides"))
    plain = found["auto_pad"] == Word("NOTSET") and found["dilations"] == 1
    return (kernel, stride, pads[:2]) if plain and pads and kernel and stride else None


def _pooling(kind: str, found: Mapping[str, Value], window: Window, exact: frozenset[Window]) -> dict[str, Value]:
    """Return the attributes of a pooling as in a spec. More padding after the image than before it is an overhang."""
    kernel, _, pad = window
    rest = {name: one for name, one in found.items() if name not in ("ceil_mode", "pads", "kernel_shape")}
    if window not in exact:
        overhangs = found["ceil_mode"] != 0 or _numbers(found["pads"], 4)[2:] != pad
        rest["rounding"] = Word("up" if overhangs else "down")
    if kind == "AveragePool" and not any(pad):
        rest["count_include_pad"] = 0
    return {**rest, "kernel": _one(kernel), "pad": _one(pad)}


def _numbers(value: Value, count: int) -> Any:
    """Return a value as a tuple of `count` integers; empty if it is not one."""
    if isinstance(value, tuple):
        return value if len(value) == count and all(type(one) is int for one in value) else ()
    return (value,) * count if type(value) is int else ()


def _one(value: tuple[Value, ...]) -> Value:
    """Return the number that a list repeats, or the list."""
    return value[0] if value and len({*value}) == 1 else value


def _value(attribute: AttributeProto) -> Value:
    match attribute.type:
        case AttributeProto.INT:
            return attribute.i
        case AttributeProto.FLOAT:
            return canonical(attribute.f)
        case AttributeProto.STRING:
            return Word(attribute.s.decode("utf-8", "replace"))
        case AttributeProto.INTS:
            return _one(tuple(attribute.ints))
        case AttributeProto.FLOATS:
            return _one(tuple(map(canonical, attribute.floats)))
        case AttributeProto.TENSOR:
            return _shown(values_of(attribute.t))
        case _:
            return Word("a graph")


def _shown(values: npt.NDArray[Any] | None) -> Value:
    if values is None:
        return Word("values that are not read")
    if values.size <= _MAX_LISTED:
        return canonical(values.tolist() if values.ndim != 1 else tuple(values.tolist()))
    check = zlib.crc32(np.ascontiguousarray(values, np.float32).data)
    return Word(f"{values.size} values, CRC-32 {check:08x}")


_TYPES: dict[int, tuple[str, str]] = {
    TensorProto.FLOAT: ("float32", "float_data"),
    TensorProto.DOUBLE: ("float64", "double_data"),
    TensorProto.FLOAT16: ("float16", "int32_data"),
    TensorProto.INT64: ("int64", "int64_data"),
    TensorProto.INT32: ("int32", "int32_data"),
}


def values_of(tensor: TensorProto) -> npt.NDArray[Any] | None:
    """Return the values of a small tensor; None if it does not contain them, or has an unsupported type."""
    if tensor.data_type not in _TYPES or tensor.data_location == TensorProto.EXTERNAL:
        return None
    dtype, field = _TYPES[tensor.data_type]
    if tensor.raw_data:
        if len(tensor.raw_data) % np.dtype(dtype).itemsize:
            return None
        values = np.frombuffer(tensor.raw_data, np.dtype(dtype).newbyteorder("<"))
    elif dtype == "float16":
        values = np.array(tensor.int32_data, np.int64).astype(np.uint16).view(np.float16)
    else:
        values = np.array(getattr(tensor, field), dtype)
    dims = tuple(tensor.dims)
    return (
        values.reshape(dims)
        if values.size == int(np.prod(dims, dtype=np.int64)) and min(dims, default=0) >= 0
        else None
    )
