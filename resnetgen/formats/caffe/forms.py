"""Ops that Caffe writes as several layers, recognised layer by layer.

Until the last of its layers is read, a blob inside an op is a form: a record of the steps applied so far, and of the
node whose output they were applied to. `begin` and `go_on` take a layer and return, for each of its tops, the next form
or the finished op of the IR.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.ir import ops
from resnetgen.ir.canonical import shortest
from resnetgen.ir.graph import Node
from resnetgen.ir.ops import Op, Shape

Lines: TypeAlias = tuple[int, ...]
"""Indices of rows or columns, in their order."""


class Unscaled(Struct, frozen=True):
    """A norm without its Scale."""

    source: str
    op: ops.BatchNorm


class Turned(Struct, frozen=True):
    """6 - max(x, 0); with `is_cut`, the positive part of it."""

    source: str
    relu: str
    is_cut: bool = False


class Softplus(Struct, frozen=True):
    """ln(1 + exp(x)); with `tanh`, the tanh of it."""

    source: str
    tanh: bool = False


class Cut(Struct, frozen=True):
    """Some rows and columns of a node's output."""

    source: str
    rows: Lines
    columns: Lines


class Column(Struct, frozen=True):
    """Channels of one pixel as rows; with `kernel`, after their convolution."""

    source: str
    kernel: int = 0


class Grouped(Struct, frozen=True):
    """Each group of channels as one channel; then normalised (eps is set), then reshaped to an image."""

    source: str
    dims: Shape
    eps: float = 0
    is_image: bool = False


Form: TypeAlias = Unscaled | Turned | Softplus | Cut | Column | Grouped


class Done(Struct, frozen=True):
    op: Op
    inputs: tuple[str, ...]
    replaces: str = ""
    """Node that turned out to be a part of this op; empty for none."""


Made: TypeAlias = tuple[Form | Done, ...]


class Value(Struct, frozen=True):
    """Bottom of a layer: a node's output, or a form whose source has this shape."""

    node: Node | None
    form: Form | None
    shape: Shape


def begin(layer: Any, values: list[Value], batch: int) -> Made | None:
    """Return the forms or ops after a layer that reads nodes' outputs; None if the layer is an op on its own. Raises
    Failure (exit 4)."""
    first = values[0].node
    assert first is not None
    shape = values[0].shape
    match layer.type, [value.node.op for value in values if value.node]:
        case "BatchNorm", [_] if layer.batch_norm_param.use_global_stats:
            return (Unscaled(first.name, ops.BatchNorm(shortest(layer.batch_norm_param.eps))),)
        case "Scale", _:
            return (_gated(layer, values),)
        case "Power", [ops.Relu()] if _turns(layer.power_param):
            return (Turned(first.inputs[0], first.name),)
        case "BNLL", [_]:
            return (Softplus(first.name),)
        case "Reshape", [_]:
            return (_reshaped(layer, first.name, shape, batch),)
        case "Slice", [_] if len(shape) == 3:
            return _slice(layer, first, Cut(first.name, tuple(range(shape[1])), tuple(range(shape[2]))))
        case "Crop", [ops.AvgPool() as op, _] if values[1].node and first.inputs == (values[1].node.name,):
            return (_cropped(layer, first, op),)
        case _:
            return None


def go_on(layer: Any, values: list[Value]) -> Made:
    """Return the forms or ops after the next layer of a form. Raises Failure (exit 4)."""
    forms = [value.form for value in values if value.form]
    form, shape = forms[0], values[0].shape
    match layer.type, form:
        case "Silence", Cut():
            return ()
        case "Scale", Unscaled() if len(values) == 1 and _shifts(layer):
            return (Done(form.op, (form.source,)),)
        case "ReLU", Turned(is_cut=False) if layer.relu_param.negative_slope == 0:
            return (replace(form, is_cut=True),)
        case "Power", Turned(is_cut=True) if _turns(layer.power_param):
            return (Done(ops.Relu6(), (form.source,), form.relu),)
        case "TanH", Softplus(tanh=False):
            return (replace(form, tanh=True),)
        case "Eltwise", Softplus(source=source, tanh=True) if _multiplies(layer, values, source):
            return (Done(ops.Mish(), (source,)),)
        case "Slice", Cut():
            return _slice(layer, None, form)
        case "Concat", Cut() if layer.concat_param.axis in (2, 3):
            return (_joined(layer, [one for one in forms if isinstance(one, Cut)]),)
        case "Convolution", Cut() if _blurs(layer, form, shape):
            param = layer.convolution_param
            stride = (param.stride[0], param.stride[0]) if param.stride else (param.stride_h, param.stride_w)
            return (Done(ops.BlurPool(stride), (form.source,)),)
        case "Convolution", Column(kernel=0) if _slides(layer.convolution_param):
            return (replace(form, kernel=layer.convolution_param.kernel_h),)
        case "Reshape", Column() if form.kernel and _dims(layer) == (0, -1, 1, 1):
            return (Done(ops.ChannelConv(form.kernel), (form.source,)),)
        case "MVN", Column(kernel=0) if not layer.mvn_param.across_channels:  # one group of one pixel
            return (Grouped(form.source, (0, 1), shortest(layer.mvn_param.eps)),)
        case "MVN", Grouped(eps=0) if form.dims[0] == 0 and not layer.mvn_param.across_channels:
            return (replace(form, eps=shortest(layer.mvn_param.eps)),)
        case "BatchNorm", Grouped(eps=0) if form.dims[0] == 1 and _uses_own_statistics(layer.batch_norm_param):
            return (replace(form, eps=shortest(layer.batch_norm_param.eps)),)
        case "Reshape", Grouped(is_image=False) if form.eps and _dims(layer)[1:] == shape:
            return (replace(form, is_image=True),)
        case "Scale", Grouped(is_image=True) if len(values) == 1 and _shifts(layer):
            return (Done(ops.GroupNorm(form.dims[1], form.eps), (form.source,)),)
        case "Scale", Unscaled():
            raise bad(f"the Scale {layer.name} is not the second half of a norm")
        case _, Unscaled():
            raise bad(f"{layer.name} reads {layer.bottom[0]} before its Scale")
        case _:
            raise bad(f"the IR has no word for the {layer.type} layer {layer.name} of {form}")


def unfinished(form: Form) -> str:
    """Return the name of an unfinished form for an error."""
    return "BatchNorm without a Scale" if isinstance(form, Unscaled) else type(form).__name__.lower()


def bad(what: str) -> Failure:
    return fail(Exit.MODEL, Code.BAD_MODEL, what)


def _gated(layer: Any, values: list[Value]) -> Done:
    """Return the product with a flattened gate."""
    param = layer.scale_param
    if len(values) != 2 or param.axis != 0 or param.bias_term:
        raise bad(f"the Scale {layer.name} is not the second half of a norm")
    image, gate = values[0].node, values[1].node
    if not image or not gate or not isinstance(gate.op, ops.Flatten):
        raise bad(f"{layer.name} scales by what is not flattened")
    return Done(ops.Mul(), (image.name, gate.inputs[0]), gate.name)


def _shifts(layer: Any) -> bool:
    param = layer.scale_param
    return bool(param.bias_term) and param.axis == 1 and param.num_axes == 1


def _uses_own_statistics(param: Any) -> bool:
    """Return True if the layer explicitly uses statistics of the batch; by default a net at inference uses
    stored ones."""
    return param.HasField("use_global_stats") and not param.use_global_stats


def _turns(param: Any) -> bool:
    return bool((param.power, param.scale, param.shift) == (1, -1, 6))


def _multiplies(layer: Any, values: list[Value], source: str) -> bool:
    param, other = layer.eltwise_param, values[0].node
    return param.operation == param.PROD and len(values) == 2 and other is not None and other.name == source


def _dims(layer: Any) -> Shape:
    param = layer.reshape_param
    return tuple(param.shape.dim) if (param.axis, param.num_axes) == (0, -1) else ()


def _reshaped(layer: Any, source: str, shape: Shape, batch: int) -> Form:
    match _dims(layer), shape:
        case (0, 1, -1, 1), (_, 1, 1):
            return Column(source)
        case (0, groups, -1, width), (_, _, w) if width == w and groups > 0:
            return Grouped(source, (0, groups))
        case (1, count, -1, width), (_, _, w) if width == w and count > 0 and count % batch == 0:
            return Grouped(source, (1, count // batch))
        case _:
            raise bad(f"the IR has no word for the Reshape layer {layer.name}")


def _slice(layer: Any, node: Node | None, cut: Cut) -> Made:
    """Return the pieces of rows or columns, one for each top."""
    param = layer.slice_param
    lines = cut.rows if param.axis == 2 else cut.columns
    points = [0, *param.slice_point, len(lines)]
    if param.axis not in (2, 3) or points != sorted(set(points)) or len(layer.top) != len(points) - 1:
        raise bad(f"{layer.name} cuts what has not so many rows or columns")
    made: list[Form | Done] = []
    for start, end in pairwise(points):
        part = lines[start:end]
        made.append(replace(cut, rows=part) if param.axis == 2 else replace(cut, columns=part))
    return tuple(made)


def rounded_down(node: Node, shape: Shape, cut: Cut) -> Done | None:
    """Return the pooling that rounds down if it leaves exactly this piece, else None. `shape` is that of the pooling's
    input."""
    if not isinstance(node.op, ops.Pool) or not node.op.ceil:
        return None
    op = replace(node.op, ceil=False)
    kept = (tuple(range(extent)) for extent in op.shape(shape)[1:])
    return Done(op, node.inputs, node.name) if (cut.rows, cut.columns) == tuple(kept) else None


def _joined(layer: Any, parts: list[Cut]) -> Cut:
    first, rows = parts[0], layer.concat_param.axis == 2
    across = {part.columns if rows else part.rows for part in parts}
    if len(parts) != len(layer.bottom) or {part.source for part in parts} != {first.source} or len(across) != 1:
        raise bad(f"{layer.name} joins pieces that do not fit")
    lines = tuple(line for part in parts for line in (part.rows if rows else part.columns))
    return replace(first, rows=lines) if rows else replace(first, columns=lines)


def _blurs(layer: Any, cut: Cut, shape: Shape) -> bool:
    """Return True for a fixed depthwise 3x3 convolution of a reflected image; its values are checked in the
    caffemodel."""
    param, (channels, height, width) = layer.convolution_param, shape
    reflected = [(1, *range(size), size - 2) for size in (height, width)]
    depthwise = param.num_output == param.group == channels and list(param.kernel_size) == [3] and not param.bias_term
    plain = list(param.pad) in ([], [0]) and not param.dilation
    frozen = [one.lr_mult for one in layer.param] == [0]
    return depthwise and plain and frozen and [cut.rows, cut.columns] == reflected


def _slides(param: Any) -> bool:
    """Return True for a kernel that slides over the rows of one channel and keeps their number."""
    one = (param.num_output, param.group, param.kernel_w, param.pad_w, param.bias_term) == (1, 1, 1, 0, False)
    strides = list(param.stride) in ([], [1]) and not param.dilation
    return bool(one) and strides and param.kernel_h % 2 == 1 and param.pad_h == param.kernel_h // 2


def _cropped(layer: Any, node: Node, op: ops.AvgPool) -> Done:
    """Return the average whose padding before is as large as behind, with the excess rows and columns cropped."""
    param = layer.crop_param
    same = ops.AvgPool(op.kernel, same=True)
    behind = (same.pads(0)[1], same.pads(1)[1])
    offsets = [behind[0] - same.pads(0)[0], behind[1] - same.pads(1)[0]]
    if op != ops.AvgPool(op.kernel, pad=behind, ceil=op.ceil) or param.axis != 2 or list(param.offset) != offsets:
        raise bad(f"the IR has no word for the Crop layer {layer.name}")
    return Done(same, node.inputs, node.name)
