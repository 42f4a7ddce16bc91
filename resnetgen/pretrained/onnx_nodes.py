"""ONNX nodes as records in one canonical form."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from resnetgen.comparison import Record, Value, Word
from resnetgen.formats.onnx.model.nodes import Attribute, OnnxNode, Unread
from resnetgen.formats.values import canonical
from resnetgen.ir.ops import Pair
from resnetgen.pretrained.equal_windows import Window

PASSED = frozenset({"Identity", "Dropout", "Cast", "Flatten", "Squeeze", "Unsqueeze"})
"""Types that compute nothing."""
_COMMUTATIVE = ("Add", "Sum", "Mul")
_IGNORED = frozenset(
    (
        *("kernel_shape", "momentum", "training_mode", "is_test", "spatial", "storage_order", "consumed_inputs"),
        *("allowzero", "stash_type", "saturate", "round_mode", "noop_with_empty_axes", "seed"),
    )
)
"""Attributes that follow from the weights, or that inference does not use."""
_IMPLIED: dict[str, Value] = {"dilations": 1, "pads": 0, "strides": 1}
"""Values of the attributes of windows that have no default."""
_OF_SIZES = {("Reshape", "shape"), ("Slice", "ends")}
"""Attributes that follow from the size of the image."""
_SPATIAL = ((2, 3), (-2, -1), (-1, -2), (3, 2))
_MAX_LISTED = 16
"""Limit of values of a constant that are compared one by one; larger ones by checksum."""


def node_record(
    node: OnnxNode, constants: Mapping[int, npt.NDArray[Any]], whole: frozenset[Pair], exact: frozenset[Window]
) -> Record:
    """Return a node as a record, without its inputs.

    `constants`: position among the inputs -> values. `whole` and `exact` are those of equal_windows.py.
    """
    kind = f"{node.domain}.{node.operator}" if node.domain else node.operator
    found = dict(_IMPLIED) if kind in ("Conv", "MaxPool", "AveragePool") else {}
    found |= {name: _value(one) for name, one in node.attributes.items() if (kind, name) not in _OF_SIZES}
    found |= {f"input {position}": _shown(values) for position, values in constants.items()}
    outputs, name = max(1, len(node.outputs)), node.name
    match kind:
        case "ReduceMean" if found.get("axes") in _SPATIAL:
            return Record(name, "GlobalAveragePool")
        case "Sum" if len(node.inputs) == 2:
            kind = "Add"
        case "Reshape" if isinstance(shape := node.attributes.get("shape"), tuple) and len(shape) == 2:
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


def _value(value: Attribute) -> Value:
    if isinstance(value, Unread):
        return Word(value.what)
    if isinstance(value, tuple):
        return _one(value)
    return Word(value) if isinstance(value, str) else value


def _shown(values: npt.NDArray[Any]) -> Value:
    if values.size <= _MAX_LISTED:
        return canonical(values.tolist() if values.ndim != 1 else tuple(values.tolist()))
    check = zlib.crc32(np.ascontiguousarray(values, np.float32).data)
    return Word(f"{values.size} values, CRC-32 {check:08x}")
