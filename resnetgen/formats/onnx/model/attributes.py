"""Attributes of ONNX operators and their defaults, by opset, as in the operators' schemas (`onnx.defs`).

A table, since importing the schemas takes a tenth of the time of a build; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

OLDEST, NEWEST = 7, 28
"""Opsets whose operators are known."""


class _Between(NamedTuple):
    """Default of an attribute that only some opsets have: the first to the last."""

    first: int
    last: int
    default: Any


_LARGEST = 3.4028235e38
_EPSILON = {"epsilon": 1e-5}
_WINDOW = {"auto_pad": "NOTSET", "kernel_shape": tuple, "pads": tuple, "strides": tuple}
_POOL = {**_WINDOW, "ceil_mode": _Between(10, NEWEST, 0)}
_UNTIL_9, _UNTIL_12 = _Between(OLDEST, 9, tuple), _Between(OLDEST, 12, tuple)

_DEFAULTS: dict[str, Mapping[str, Any]] = {
    "AveragePool": {**_POOL, "count_include_pad": 0, "dilations": _Between(19, NEWEST, tuple)},
    "BatchNormalization": {
        **_EPSILON,
        "momentum": 0.9,
        "spatial": _Between(OLDEST, 8, 1),
        "training_mode": _Between(14, NEWEST, 0),
    },
    "Cast": {"to": int, "saturate": _Between(19, NEWEST, 1), "round_mode": _Between(24, NEWEST, "up")},
    "Clip": {"min": _Between(OLDEST, 10, -_LARGEST), "max": _Between(OLDEST, 10, _LARGEST)},
    "Concat": {"axis": int},
    "Conv": {**_WINDOW, "dilations": tuple, "group": 1},
    "Dropout": {"ratio": _Between(OLDEST, 11, 0.5), "seed": _Between(12, NEWEST, int)},
    "Flatten": {"axis": 1},
    "Gather": {"axis": 0},
    "Gelu": {"approximate": "none"},
    "Gemm": {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0},
    "GroupNormalization": {**_EPSILON, "num_groups": int, "stash_type": _Between(21, NEWEST, 1)},
    "InstanceNormalization": _EPSILON,
    "LRN": {"alpha": 1e-4, "beta": 0.75, "bias": 1.0, "size": int},
    "LeakyRelu": {"alpha": 0.01},
    "MaxPool": {**_POOL, "dilations": _Between(10, NEWEST, tuple), "storage_order": _Between(8, NEWEST, 0)},
    "Pad": {"mode": "constant", "pads": _Between(OLDEST, 10, tuple), "value": _Between(OLDEST, 10, 0.0)},
    "ReduceMean": {
        "axes": _Between(OLDEST, 17, tuple),
        "keepdims": 1,
        "noop_with_empty_axes": _Between(18, NEWEST, 0),
    },
    "Reshape": {"allowzero": _Between(14, NEWEST, 0)},
    "Slice": {"axes": _UNTIL_9, "ends": _UNTIL_9, "starts": _UNTIL_9},
    "Squeeze": {"axes": _UNTIL_12},
    "Transpose": {"perm": tuple},
    "Unsqueeze": {"axes": _UNTIL_12},
}
"""Operator -> attribute -> its default, or its type if it has none. Softmax is an exception in `defaults`."""
_WITHOUT = (
    *("Add", "Div", "Erf", "GlobalAveragePool", "Identity", "MatMul", "Mish", "Mul", "Relu", "Sigmoid", "Softplus"),
    *("Sub", "Sum", "Tanh"),
)
"""Operators without attributes."""
SINCE = {"Erf": 9, "Gelu": 20, "GroupNormalization": 18, "Mish": 18}
"""First opset of the operators that the oldest known opset does not have."""
OPERATORS = frozenset((*_DEFAULTS, *_WITHOUT, "Softmax"))
"""Operators whose attributes are known."""


@cache
def defaults(operator: str, opset: int) -> Mapping[str, Any]:
    """Return the attributes of an operator: name -> default, or the attribute's type if it has no default.

    Empty for an unknown operator. An opset out of range counts as the nearest that is known.
    """
    if operator == "Softmax":
        return {"axis": 1 if opset < 13 else -1}
    opset = min(max(opset, OLDEST), NEWEST)
    found: dict[str, Any] = {}
    for name, default in _DEFAULTS.get(operator, {}).items():
        if not isinstance(default, _Between):
            found[name] = default
        elif default.first <= opset <= default.last:
            found[name] = default.default
    return found
