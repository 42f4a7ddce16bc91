"""Translation of a graph to ONNX nodes, without the values of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from resnetgen.errors import Code, SpecError, UsageError
from resnetgen.formats.onnx import lower_ops
from resnetgen.formats.onnx.lower_ops import NodePlan, Tensor
from resnetgen.formats.onnx.lower_preprocess import preprocess_nodes
from resnetgen.formats.onnx.model.schema import IR_VERSIONS, AttributeProto, NodeProto, TensorProto, ValueInfoProto
from resnetgen.formats.onnx.number_types import FloatType
from resnetgen.ir import ops
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import Parameter, Shape
from resnetgen.preprocess import Preprocess
from resnetgen.profiles import DEFAULT_OPSET, Profile, who_loads

MIN_OPSET = 9
"""Oldest opset in which AveragePool, BatchNormalization, MaxPool and Flatten have their present meaning."""
MAX_OPSET = IR_VERSIONS[-1][0]
BATCH = "N"


class Names(Struct, frozen=True):
    """Names of a model's input and output."""

    input: str = "input"
    output: str = "output"


class FloatTypes(Struct, frozen=True):
    """Types in which a model computes (inner), and of its input and output (outer); casts are added if they differ."""

    inner: FloatType = FloatType.FP32
    outer: FloatType = FloatType.FP32

    @property
    def differ(self) -> bool:
        return self.inner is not self.outer


class Lowered:
    """Nodes and tensor types of a graph at an opset. A node's tensor has the node's name.

    With embedded preprocessing the model's input is an image of bytes, and the network's own input an inner tensor; the
    same goes for a cast of the input.
    """

    def __init__(
        self,
        graph: Graph,
        opset: int,
        names: Names,
        batch: int | None,
        embed: Preprocess | None = None,
        runtime: Profile | None = None,
        types: FloatTypes | None = None,
    ) -> None:
        self.graph = graph
        self.types = types or FloatTypes()
        self.opset = opset
        self.runtime = runtime
        self.embed = embed
        self.input = names.input
        self.batch: int | str = batch or BATCH
        source = graph.input
        results = output_names(graph, names)
        self.tensors = {node.name: node.name for node in graph.nodes}
        self.tensors[source.name] = source.name if embed or self.types.differ else names.input
        if not self.types.differ:
            self.tensors |= results
        channels, height, width = graph.shapes[source.name]
        self.inputs = [
            self.value(names.input, (height, width, channels), TensorProto.UINT8)
            if embed
            else self.value(names.input, (channels, height, width), self.types.outer.proto)
        ]
        self.outputs = [self.value(name, graph.shapes[node], self.types.outer.proto) for node, name in results.items()]
        self.inner: list[ValueInfoProto] = []
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        """Inputs of nodes that are not weights, by name; they are written with the structure."""
        self.owners: dict[str, Node] = {names.input: source}
        """ONNX node, by its name, or input -> the node of the graph that it belongs to."""
        for node in graph.nodes:
            made = list(self._translated(node))
            self.nodes += made
            self.owners |= dict.fromkeys((proto.name for proto in made), node)
            if self.tensors[node.name] not in (names.input, *results.values()):
                self.inner.append(self.value(node.name, graph.shapes[node.name]))
        if self.types.differ:
            result = graph.output
            last = NodePlan("Cast", [result.name], results[result.name], {"to": self.types.outer.proto})
            self.nodes.append(self._node(result, last))
        weights = [initializer(node.name, p.name) for node in graph.nodes for p in graph.parameters(node)]
        written = [output for proto in self.nodes for output in proto.output]
        taken = [names.input, *written, *weights, *self.constants]
        if len(set(taken)) != len(taken) or not all(taken):
            message = f"{names.input!r} and {names.output!r} must differ, and be the name of no layer or weight"
            raise UsageError.of(Code.BAD_NAME, message)

    def value(self, name: str, shape: Shape, kind: int | None = None) -> ValueInfoProto:
        """Return the type of a tensor of this shape, with the batch axis before it; its numbers are of `kind`, by
        default the type of the network."""
        info = ValueInfoProto(name=name)
        info.type.tensor_type.elem_type = kind or self.types.inner.proto
        for extent in (self.batch, *shape):
            dim = info.type.tensor_type.shape.dim.add()
            if isinstance(extent, str):
                dim.dim_param = extent
            else:
                dim.dim_value = extent
        return info

    def _translated(self, node: Node) -> Iterator[NodeProto]:
        weights = [initializer(node.name, p.name) for p in self.graph.parameters(node)]
        for new in self._onnx_nodes(node, [*(self.tensors[name] for name in node.inputs), *weights]):
            if new.shape is not None:
                self.inner.append(self.value(new.output, new.shape))
            yield self._node(node, new)

    def _node(self, node: Node, new: NodePlan) -> NodeProto:
        return NodeProto(
            op_type=new.type,
            name=new.output,
            input=[self._named(node, tensor) for tensor in new.inputs],
            output=[new.output],
            attribute=[_attribute(name, value) for name, value in sorted(new.attributes.items())],
            doc_string=_place(node),
        )

    def _named(self, node: Node, tensor: Tensor) -> str:
        if isinstance(tensor, str):
            return tensor
        name = f"{node.name}.{tensor.label}"
        is_inner = tensor.values.dtype == np.float32 and not isinstance(node.op, ops.Input)
        self.constants[name] = tensor.values.astype(self.types.inner.dtype) if is_inner else tensor.values
        return name

    def _onnx_nodes(self, node: Node, inputs: list[Tensor]) -> Iterator[NodePlan]:
        """Yield the ONNX nodes of a node; `inputs` are its tensors, followed by its weights."""
        op, shapes = node.op, self.graph.input_shapes(node)
        output = self.tensors[node.name]
        x = str(inputs[0]) if inputs else ""
        match op:
            case ops.Input():
                if self.embed:
                    yield from preprocess_nodes(self.embed, self.input, output, self.types.inner)
                elif self.types.differ:
                    yield NodePlan("Cast", [self.input], output, {"to": self.types.inner.proto})
            case ops.Conv():
                yield NodePlan("Conv", inputs, output, _conv(op))
            case ops.ChannelConv():
                yield from lower_ops.channelconv(op, shapes[0], inputs, output)
            case ops.BatchNorm():
                yield NodePlan("BatchNormalization", inputs, output, {"epsilon": op.eps})
            # GroupNormalization of opset 18 scales the groups, not the channels
            case ops.GroupNorm() if self.opset >= 21:
                yield NodePlan("GroupNormalization", inputs, output, {"epsilon": op.eps, "num_groups": op.groups})
            case ops.GroupNorm():
                yield from lower_ops.groupnorm(op, shapes[0], inputs, output)
            case ops.Lrn():
                yield NodePlan(
                    "LRN", inputs, output, {"alpha": op.alpha, "beta": op.beta, "bias": op.k, "size": op.size}
                )
            case ops.Relu():
                yield NodePlan("Relu", inputs, output)
            case ops.LeakyRelu():
                yield NodePlan("LeakyRelu", inputs, output, {"alpha": op.slope})
            case ops.Relu6():
                self._need(11, node, "relu6")
                yield lower_ops.relu6(x, output)
            case ops.Silu():
                yield from lower_ops.silu(shapes[0], x, output)
            case ops.Mish() if self.opset >= 18:
                yield NodePlan("Mish", inputs, output)
            case ops.Mish():
                yield from lower_ops.mish(shapes[0], x, output)
            case ops.Gelu():
                self._need(20, node, "gelu")
                yield NodePlan("Gelu", inputs, output)
            case ops.Dropout():
                yield NodePlan("Identity", inputs, output)
            case ops.Sigmoid():
                yield NodePlan("Sigmoid", inputs, output)
            case ops.MaxPool():
                yield NodePlan("MaxPool", inputs, output, lower_ops.window(op, shapes[0]))
            case ops.AvgPool():
                if lower_ops.pads_apart(op, shapes[0]):
                    self._need(11, node, "an average pooling with padding and an overhang, or with uneven padding")
                yield from lower_ops.average(op, shapes[0], x, output)
            case ops.GlobalAvgPool():
                yield NodePlan("GlobalAveragePool", inputs, output)
            case ops.BlurPool():
                self._need(11, node, "a reflecting blurpool")
                yield from lower_ops.blurpool(op, shapes[0], x, output)
            case ops.ChannelPad():
                self._need(11, node, "a channelpad")
                yield from lower_ops.channelpad(op, shapes[0], x, output)
            case ops.Flatten():
                yield NodePlan("Flatten", inputs, output, {"axis": 1})
            case ops.Fc():
                if not op.bias:
                    self._need(11, node, "an fc without a bias")
                yield from lower_ops.fc(shapes[0], inputs, output)
            case ops.Softmax():
                if prod(shapes[0][1:]) != 1:
                    self._need(13, node, "a softmax over the channels of an image")
                yield NodePlan("Softmax", inputs, output, {"axis": 1})
            case ops.Add():
                yield NodePlan("Add" if len(inputs) == 2 else "Sum", inputs, output)
            case ops.Mul():
                yield NodePlan("Mul", inputs, output)
            case ops.Concat():
                yield NodePlan("Concat", inputs, output, {"axis": 1})
            case _:
                assert_never(op)

    def _need(self, opset: int, node: Node, what: str) -> None:
        """Raise SpecError if `what` needs opset `opset` and the model's is older."""
        if self.opset >= opset:
            return
        if self.runtime and self.runtime.opset < opset:
            message = f"ONNX says {what} from opset {opset} on, {self.runtime.name} loads {self.runtime.opset} at most"
            hint = f"the oldest that can: {who_loads(opset)}" + (
                f" and --opset {opset}" if opset > DEFAULT_OPSET else ""
            )
            raise SpecError.of(Code.UNSUPPORTED, f"{message} ({node.name})", node.span, hint)
        message = f"ONNX says {what} from opset {opset} on, not in {self.opset} ({node.name})"
        raise SpecError.of(Code.UNSUPPORTED, message, node.span, f"--opset {opset} or above")


def dims(node: Node, parameter: Parameter, opset: int) -> Shape:
    """Return the shape of a weight's initializer: the parameter's own, with two axes added if a product or sum must
    broadcast it."""
    return (*parameter.shape, 1, 1) if isinstance(node.op, ops.GroupNorm) and opset < 21 else parameter.shape


def initializer(node: str, parameter: str) -> str:
    """Return the name of a weight's initializer: conv3_x/0/main/conv2.weight."""
    return f"{node}.{parameter}"


def ir_version(opset: int, runtime: Profile | None = None) -> int:
    """Return the oldest IR version with an opset, but at least 4: earlier ones list weights as inputs as well.

    It is not above the version that a runtime loads: ONNX Runtime 1.15 has opset 19, but not IR version 9, which came
    with it. No model written here needs more than IR version 4. Raises UsageError for an unknown opset.
    """
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise UsageError.of(Code.BAD_VALUE, f"opset {opset} lies outside {MIN_OPSET} to {MAX_OPSET}")
    known = next(version for last, version in IR_VERSIONS if opset <= last)
    return min(known, runtime.ir) if runtime else known


def constant(name: str, values: npt.NDArray[Any]) -> TensorProto:
    """Return the initializer of a constant, with typed data; weights have raw data."""
    if values.dtype == np.int64:
        return TensorProto(name=name, data_type=TensorProto.INT64, dims=values.shape, int64_data=values.tolist())
    if values.dtype == np.float16:
        bits = values.view(np.uint16).ravel().tolist()
        return TensorProto(name=name, data_type=TensorProto.FLOAT16, dims=values.shape, int32_data=bits)
    data = values.ravel().tolist()
    return TensorProto(name=name, data_type=TensorProto.FLOAT, dims=values.shape, float_data=data)


def _attribute(name: str, value: int | float | str | list[int]) -> AttributeProto:
    if isinstance(value, str):
        return AttributeProto(name=name, type=AttributeProto.STRING, s=value.encode())
    if isinstance(value, float):
        return AttributeProto(name=name, type=AttributeProto.FLOAT, f=value)
    if isinstance(value, int):
        return AttributeProto(name=name, type=AttributeProto.INT, i=value)
    return AttributeProto(name=name, type=AttributeProto.INTS, ints=value)


def output_names(graph: Graph, names: Names) -> dict[str, str]:
    """Return the name of the model's output for each output node: `names.output`; if there are several, the node's own.

    Raises SpecError for several outputs and a name that the user chose.
    """
    if len(graph.outputs) > 1 and names.output == Names().output:
        return {name: name for name in graph.outputs}
    return {graph.output.name: names.output}


def _conv(op: ops.Conv) -> dict[str, Any]:
    return {
        "kernel_shape": list(op.kernel),
        "strides": list(op.stride),
        "pads": [*op.padding, *op.padding],
        "dilations": list(op.dilation),
        "group": op.groups,
    }


def _place(node: Node) -> str:
    """Return the place of a node for its doc string, `resnet50.yaml:8 conv3_x/0/main/conv2`: without the folder, so
    that the bytes do not depend on it."""
    return f"{node.span.short} {node.name}" if node.span else node.name
