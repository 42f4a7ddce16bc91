"""Ops of the IR that are several nodes of a file, each declared as the expression that the nodes compute."""

from __future__ import annotations

from math import isclose, sqrt
from typing import cast

import numpy as np

from resnetgen.formats.onnx.lift_windows import read_pool
from resnetgen.formats.onnx.lifting import Nodes, count, equals
from resnetgen.formats.patterns import Call, Constant, Leaf, Match, Pattern, Weight
from resnetgen.ir import ops
from resnetgen.ir.ops import Op

X = Leaf("x")


def _nodes(match: Match) -> Nodes:
    return cast(Nodes, match.net)


def _values(match: Match, name: str) -> np.ndarray:
    return _nodes(match).constant(match.leaves[name])


def _gelu(match: Match) -> Op | None:
    """x * (1 + erf(x / sqrt(2))) / 2, by constants that are rounded."""
    root, one, half = (_values(match, name) for name in ("root", "one", "half"))
    by = root if "Div" in match.parts else 1 / root
    fits = all(values.size == 1 for values in (root, one, half))
    fits = fits and isclose(by.item(), sqrt(2), rel_tol=1e-3) and one.item() == 1 and half.item() == 0.5
    return ops.Gelu() if fits else None


def _silu(match: Match) -> Op | None:
    """A product with the own sigmoid, if nothing else reads that: else both stay, as the canonical form has them."""
    (gate,) = _nodes(match).nodes[match.parts["Sigmoid"]].outputs
    return ops.Silu() if _nodes(match).readers[gate] == 1 else None


def _padded_average(match: Match) -> Op | None:
    """An average whose padding counts, and whose overhang does not: zeros of a Pad node count.

    A Pad node that adds nothing belongs to another op.
    """
    nodes, pads = _nodes(match), match.value("Pad", "pads")
    if not _pads_constant(match) or any((*pads[:2], *pads[4:6])) or min(pads) < 0 or not any(pads):
        return None
    return read_pool(nodes, match.parts["AveragePool"], match.shape("x"), (*pads[2:4], *pads[6:]))


def _blurpool(match: Match) -> Op | None:
    at, nodes, shape = match.parts["Conv"], _nodes(match), match.shape("x")
    plain = nodes.ints(at, "pads", 4, 0) == (0,) * 4 and nodes.ints(at, "dilations", 2, 1) == (1, 1)
    plain = plain and match.value("Conv", "auto_pad") in ("NOTSET", "VALID")
    if not plain or match.value("Pad", "pads") != (0, 0, 1, 1) * 2 or match.value("Conv", "group") != shape[0]:
        return None
    if nodes.shape(match.leaves["kernel"]) != (shape[0], 1, 3, 3):
        return None
    row = np.array([1, 2, 1], np.float32) / 4
    height, width = nodes.ints(at, "strides", 2, 1)
    blurs = equals(_values(match, "kernel"), np.tile(np.outer(row, row), (shape[0], 1, 1, 1)))
    return ops.BlurPool((height, width)) if blurs else None


def _channelpad(match: Match) -> Op | None:
    shape, pads = match.shape("x"), match.value("Pad", "pads")
    if not _pads_constant(match) or len(shape) != 3 or any((pads[0], *pads[2:5], *pads[6:])) or min(pads) < 0:
        return None
    stride = (1, 1)
    if "Slice" in match.parts:
        starts, ends, axes, steps = (match.value("Slice", name) for name in ("starts", "ends", "axes", "steps"))
        whole = starts == (0, 0) and isinstance(ends, tuple) and axes == (2, 3) and len(ends) == 2
        if not whole or any(end < size for end, size in zip(ends, shape[1:], strict=True)) or steps is None:
            return None
        stride = steps
    op = ops.ChannelPad(shape[0] + pads[1] + pads[5], stride, both=pads[1] > 0)
    return op if op.before(shape[0]) == pads[1] else None


def _pads_constant(match: Match) -> bool:
    """Return True if a Pad node adds zeros to an image, eight numbers of them."""
    pads, axes = match.value("Pad", "pads"), match.value("Pad", "axes")
    is_zero = match.value("Pad", "mode") == "constant" and not match.value("Pad", "value")
    return is_zero and axes is None and isinstance(pads, tuple) and len(pads) == 8


def _channelconv(match: Match) -> Op | None:
    at, nodes, shape = match.parts["Conv"], _nodes(match), match.shape("x")
    weight = nodes.shape(match.leaves["weight"])
    if len(weight) != 3 or weight[:2] != (1, 1) or match.value("Conv", "auto_pad") != "NOTSET":
        return None
    plain = nodes.ints(at, "strides", 1, 1) == nodes.ints(at, "dilations", 1, 1) == (1,)
    centred = nodes.ints(at, "pads", 2, 0) == (weight[2] // 2,) * 2 and shape[1:] == (1, 1)
    if not (plain and centred) or match.value("image", "shape") not in ((0, -1, 1, 1), (0, *shape)):
        return None
    return ops.ChannelConv(weight[2]) if match.value("sequence", "shape") in ((0, 1, -1), (0, 1, shape[0])) else None


def _groupnorm(match: Match) -> Op | None:
    """Each group is one channel of a sequence, normalised without a scale; scale and shift are one a channel."""
    nodes, shape, sequence = _nodes(match), match.shape("x"), match.value("groups", "shape")
    if not isinstance(sequence, tuple) or len(sequence) != 3 or sequence[0] != 0 or sequence[2] != -1:
        return None
    groups = sequence[1]
    plain = equals(_values(match, "one"), np.ones(groups)) and equals(_values(match, "zero"), np.zeros(groups))
    each = all(nodes.shape(match.leaves[name]) in ((shape[0], 1, 1), (1, shape[0], 1, 1)) for name in ("gamma", "beta"))
    if not plain or not each or match.value("image", "shape") not in ((0, *shape), (-1, *shape)):
        return None
    return ops.GroupNorm(groups, match.value("InstanceNormalization", "epsilon"))


def _fc(match: Match) -> Op | None:
    """A product with a matrix, inputs x outputs; `lift` transposes it."""
    shape, matrix = match.shape("x"), _nodes(match).shape(match.leaves["weight"])
    if len(matrix) != 2 or shape != matrix[:1] or count(_nodes(match).shape(match.leaves["bias"])) != matrix[1]:
        return None
    return ops.Fc(matrix[1], bias=True)


def _times(a: Call | Leaf, b: Call | Leaf | Constant | Weight, name: str = "Mul") -> Call:
    return Call("Mul", a, b, unordered=True, name=name)


def _plus(a: Call, b: Constant | Weight) -> Call:
    return Call("Add", a, b, unordered=True)


_ONE, _HALF, _ROOT = Constant("one"), Constant("half"), Constant("root")
_ERFS = Call("Erf", Call("Div", X, _ROOT)), Call("Erf", _times(X, _ROOT, "by"))
_GELUS = [
    gelu
    for one_more in (_plus(erf, _ONE) for erf in _ERFS)
    for gelu in (
        _times(_times(X, one_more), _HALF, "last"),
        _times(X, _times(one_more, _HALF), "last"),
        _times(_times(X, _HALF), one_more, "last"),
    )
]
_SEQUENCE = Call("InstanceNormalization", Call("Reshape", X, name="groups"), Constant("one"), Constant("zero"))
_SCALED = _times(Call("Reshape", _SEQUENCE, name="image"), Weight("gamma"))

PATTERNS = (
    Pattern(_plus(_SCALED, Weight("beta")), _groupnorm),
    *(Pattern(root, _gelu) for root in _GELUS),
    Pattern(_times(X, Call("Tanh", Call("Softplus", X))), lambda _: ops.Mish()),
    Pattern(
        Call("Reshape", Call("Conv", Call("Reshape", X, name="sequence"), Weight("weight")), name="image"), _channelconv
    ),
    Pattern(_times(X, Call("Sigmoid", X)), _silu),
    Pattern(Call("AveragePool", Call("Pad", X)), _padded_average),
    Pattern(Call("Conv", Call("Pad", X, where={"mode": "reflect"}), Constant("kernel")), _blurpool),
    Pattern(Call("Pad", Call("Slice", X)), _channelpad),
    Pattern(Call("Pad", X), _channelpad),
    Pattern(_plus(Call("MatMul", X, Weight("weight")), Weight("bias")), _fc),
)
"""Patterns, those of more nodes first: a pattern is tried before those that match a part of its nodes."""
