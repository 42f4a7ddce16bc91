"""Graph -> ONNX nodes, without their weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, assert_never

from resnetgen.errors import Code, Exit, fail
from resnetgen.ir import ops
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import Shape
from resnetgen.targets.onnx.schema import AttributeProto, NodeProto, TensorProto, ValueInfoProto

MIN_OPSET = 9
"""AveragePool, BatchNormalization, MaxPool and Flatten have had today's meaning since then."""
_IR_VERSIONS = ((9, 4), (10, 5), (11, 6), (14, 7), (18, 8), (20, 9), (22, 10), (23, 11), (24, 12), (27, 13), (28, 14))
"""The newest opset of each IR version, as onnx.helper.VERSION_TABLE has them."""
MAX_OPSET = _IR_VERSIONS[-1][0]
BATCH = "N"


@dataclass(frozen=True)
class Names:
    """What the tensors are called that a caller sees."""

    input: str = "input"
    output: str = "output"


class Translation:
    """The nodes and tensor types of a graph at an opset. A node's tensor has the node's name."""

    def __init__(self, graph: Graph, opset: int, names: Names, batch: int | None) -> None:
        self.graph = graph
        self.opset = opset
        self.batch: int | str = batch or BATCH
        (source,), (result,) = graph.inputs, _single_output(graph)
        self.tensors = {node.name: node.name for node in graph.nodes}
        self.tensors[source.name] = names.input
        self.tensors[result.name] = names.output
        self.inputs = [self.value(names.input, graph.shapes[source.name])]
        self.outputs = [self.value(names.output, graph.shapes[result.name])]
        self.inner: list[ValueInfoProto] = []
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, tuple[int, ...]] = {}
        """Integer inputs of nodes, by name: they stand in the file's skeleton."""
        for node in graph.nodes:
            self.nodes += self._translated(node)
            if node.name not in (source.name, result.name):
                self.inner.append(self.value(node.name, graph.shapes[node.name]))
        weights = [initializer(node.name, p.name) for node in graph.nodes for p in graph.parameters(node)]
        made = [output for node in self.nodes for output in node.output]
        taken = [names.input, *made, *weights, *self.constants]
        if len(set(taken)) != len(taken) or not all(taken):
            message = f"{names.input!r} and {names.output!r} must differ, and be the name of no layer or weight"
            raise fail(Exit.USAGE, Code.BAD_NAME, message)

    def value(self, name: str, shape: Shape) -> ValueInfoProto:
        """The type of a float tensor of this shape, with the batch before it."""
        info = ValueInfoProto(name=name)
        info.type.tensor_type.elem_type = TensorProto.FLOAT
        for extent in (self.batch, *shape):
            dim = info.type.tensor_type.shape.dim.add()
            if isinstance(extent, str):
                dim.dim_param = extent
            else:
                dim.dim_value = extent
        return info

    def _translated(self, node: Node) -> Iterator[NodeProto]:
        place = _place(node)
        inputs = [self.tensors[name] for name in node.inputs]
        weights = [initializer(node.name, p.name) for p in self.graph.parameters(node)]
        for step in self._steps(node, inputs, weights):
            yield NodeProto(
                op_type=step.type,
                name=step.output,
                input=step.inputs,
                output=[step.output],
                attribute=[_attribute(name, value) for name, value in sorted(step.attributes.items())],
                doc_string=place,
            )

    def _steps(self, node: Node, inputs: list[str], weights: list[str]) -> Iterator[Step]:
        op, shapes = node.op, self.graph.input_shapes(node)
        output = self.tensors[node.name]
        match op:
            case ops.Input():
                return
            case ops.Conv():
                yield Step("Conv", [*inputs, *weights], output, _conv(op))
            case ops.BatchNorm():
                yield Step("BatchNormalization", [*inputs, *weights], output, {"epsilon": op.eps})
            case ops.Relu():
                yield Step("Relu", inputs, output)
            case ops.LeakyRelu():
                yield Step("LeakyRelu", inputs, output, {"alpha": op.slope})
            case ops.Dropout():
                yield Step("Identity", inputs, output)
            case ops.Sigmoid():
                yield Step("Sigmoid", inputs, output)
            case ops.MaxPool():
                yield Step("MaxPool", inputs, output, _window(op, shapes[0]))
            case ops.AvgPool():
                yield from self._average(node, op, inputs, output)
            case ops.GlobalAvgPool():
                yield Step("GlobalAveragePool", inputs, output)
            case ops.Flatten():
                yield Step("Flatten", inputs, output, {"axis": 1})
            case ops.Fc():
                yield from self._fc(node, op, [*inputs, *weights], output)
            case ops.Softmax():
                if self.opset < 13 and prod(shapes[0][1:]) != 1:
                    raise self._refuse(node, "a softmax over the channels of an image", 13)
                yield Step("Softmax", inputs, output, {"axis": 1})
            case ops.Add():
                yield Step("Add" if len(inputs) == 2 else "Sum", inputs, output)
            case ops.Mul():
                yield Step("Mul", inputs, output)
            case ops.Concat():
                yield Step("Concat", inputs, output, {"axis": 1})
            case _:
                assert_never(op)

    def _average(self, node: Node, op: ops.AvgPool, inputs: list[str], output: str) -> Iterator[Step]:
        """ONNX counts all of its padding or none. Caffe counts the padding but not the overhang of the last window:
        where both occur, the padding becomes zeros of its own and the rest is left uncounted."""
        (shape,) = self.graph.input_shapes(node)
        window = _window(op, shape)
        counted = op.pad != (0, 0) and not op.exclude_pad
        if not counted or not any(op.overhang(size, axis) for axis, size in enumerate(shape[1:])):
            yield Step("AveragePool", inputs, output, {**window, "count_include_pad": int(counted)})
            return
        if self.opset < 11:
            raise self._refuse(node, "an average pooling with padding and an overhang", 11)
        padded = f"{output}/padded"
        top, left = op.pad
        zeros = Step("Pad", [inputs[0], f"{node.name}.pads"], padded)
        self.constants[f"{node.name}.pads"] = (0, 0, top, left, 0, 0, top, left)
        self.inner.append(self.value(padded, (shape[0], shape[1] + 2 * top, shape[2] + 2 * left)))
        rest = [pad - own for pad, own in zip(window["pads"], (top, left, top, left), strict=True)]
        yield zeros
        yield Step("AveragePool", [padded], output, {**window, "pads": rest, "count_include_pad": 0})

    def _fc(self, node: Node, op: ops.Fc, inputs: list[str], output: str) -> Iterator[Step]:
        if not op.bias and self.opset < 11:
            raise self._refuse(node, "an fc without a bias", 11)
        (shape,) = self.graph.input_shapes(node)
        if len(shape) > 1:
            flat = f"{output}/flat"
            self.inner.append(self.value(flat, (prod(shape),)))
            yield Step("Flatten", inputs[:1], flat, {"axis": 1})
            inputs = [flat, *inputs[1:]]
        yield Step("Gemm", inputs, output, {"transB": 1})

    def _refuse(self, node: Node, what: str, opset: int) -> Exception:
        message = f"ONNX says {what} from opset {opset} on, not in {self.opset} ({node.name})"
        return fail(Exit.SPEC, Code.UNSUPPORTED, message, node.span, f"--opset {opset} or above")


@dataclass(frozen=True)
class Step:
    """One ONNX node; it bears the name of its output."""

    type: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)


def initializer(node: str, parameter: str) -> str:
    """The name of a weight's initializer: conv3_x/0/main/conv2.weight."""
    return f"{node}.{parameter}"


def ir_version(opset: int) -> int:
    """The oldest IR version that knows an opset, but not below 4, from which weights need not be inputs as well.

    Raises Failure for an opset that is not known here.
    """
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise fail(Exit.USAGE, Code.BAD_VALUE, f"opset {opset} lies outside {MIN_OPSET} to {MAX_OPSET}")
    return next(version for last, version in _IR_VERSIONS if opset <= last)


def _attribute(name: str, value: int | float | list[int]) -> AttributeProto:
    if isinstance(value, float):
        return AttributeProto(name=name, type=AttributeProto.FLOAT, f=value)
    if isinstance(value, int):
        return AttributeProto(name=name, type=AttributeProto.INT, i=value)
    return AttributeProto(name=name, type=AttributeProto.INTS, ints=value)


def _single_output(graph: Graph) -> tuple[Node]:
    if len(graph.outputs) != 1:
        names = ", ".join(node.name for node in graph.outputs)
        raise fail(Exit.BUG, Code.BUG, f"a network with several outputs: {names}")
    return (graph.outputs[0],)


def _conv(op: ops.Conv) -> dict[str, Any]:
    return {
        "kernel_shape": list(op.kernel),
        "strides": list(op.stride),
        "pads": [*op.padding, *op.padding],
        "dilations": list(op.dilation),
        "group": op.groups,
    }


def _window(op: ops.Pool, shape: Shape) -> dict[str, Any]:
    """Explicit pads that give the same windows with floor: runtimes differ in their ceil_mode."""
    ends = [pad + op.overhang(size, axis) for axis, (pad, size) in enumerate(zip(op.pad, shape[1:], strict=True))]
    return {"kernel_shape": list(op.kernel), "strides": list(op.stride), "pads": [*op.pad, *ends]}


def _place(node: Node) -> str:
    """`resnet50.yaml:8 conv3_x/0/main/conv2`: the file's name without its folder, so that bytes do not depend on it."""
    return f"{node.span.short} {node.name}" if node.span else node.name
