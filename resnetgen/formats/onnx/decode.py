"""Decoder of an ONNX file's structure to a graph of the IR.

It shares with the emitter only the schema and the table of number types, so that it finds the emitter's mistakes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from resnetgen.formats.onnx.casts import Casts, element_of, read_casts
from resnetgen.formats.onnx.dtypes import FloatType
from resnetgen.formats.onnx.forms import Call, Constant, Done, Form, Softplus, begin, go_on, unreadable
from resnetgen.formats.onnx.prelude import Prelude, read_prelude
from resnetgen.formats.onnx.read import OnnxFile
from resnetgen.formats.onnx.schema import AttributeProto, NodeProto, TensorProto, ValueInfoProto
from resnetgen.ir import ops
from resnetgen.ir.canonical import shortest
from resnetgen.ir.graph import Graph, InvalidGraph, Node
from resnetgen.ir.ops import Op, OpError, Pair

_WINDOW = {"kernel_shape": 2, "strides": 2, "pads": 4}
_ATTRIBUTES: dict[str, tuple[dict[str, int], ...]] = {
    "Conv": ({**_WINDOW, "dilations": 2, "group": 1}, {"kernel_shape": 1, "pads": 2}),
    "BatchNormalization": ({"epsilon": 1},),
    "InstanceNormalization": ({"epsilon": 1},),
    "GroupNormalization": ({"epsilon": 1, "num_groups": 1},),
    "LRN": ({"alpha": 1, "beta": 1, "bias": 1, "size": 1},),
    "MaxPool": (_WINDOW,),
    "AveragePool": ({**_WINDOW, "count_include_pad": 1},),
    "LeakyRelu": ({"alpha": 1},),
    "Pad": ({}, {"mode": 0}),
    "Flatten": ({"axis": 1},),
    "Gemm": ({"transB": 1},),
    "Softmax": ({"axis": 1},),
    "Concat": ({"axis": 1},),
}
"""Kind of node -> sets of attributes that it may have, each with its count of numbers; any other set would mean
something else."""


class Found(Struct, frozen=True):
    """Contents of a model."""

    graph: Graph
    weights: dict[str, list[str]]
    """Node -> names of its weights, in order."""
    prelude: Prelude | None
    """Preprocessing of an image before the network; None if the model has none."""
    casts: Casts


def read_graph(file: OnnxFile) -> Found:
    """Return the network as a graph of the IR. Raises Failure (exit 4) for nodes that the IR cannot express."""
    return _Decoder(file).found()


class _Decoder:
    def __init__(self, file: OnnxFile) -> None:
        self.source = file.model.graph
        self.tensors = {name: tensor.shape for name, tensor in file.tensors.items()}
        self.types = {name: tensor.element for name, tensor in file.tensors.items()}
        self.constants = {tensor.name: _constant(tensor) for tensor in self.source.initializer}
        self.shapes = {v.name: tuple(_dims(v)[1:]) for v in (*self.source.value_info, *self.source.input)}
        """Tensor -> its shape as the file declares it; `_check_values` compares it with the computed one."""
        self.nodes: list[Node] = []
        self.weights: dict[str, list[str]] = {}
        """Node -> names of its weights, in order."""
        self.forms: dict[str, Form] = {}
        self.ends: dict[str, Pair] = {}
        """Pooling -> its padding at the bottom and the right, with the overhang."""

    def found(self) -> Found:
        if len(self.source.input) != 1 or len(_dims(self.source.input[0])) != 4 or not self.source.output:
            raise unreadable("it has not one input of four dimensions, or no output")
        (data,) = self.source.input
        try:
            prelude = read_prelude(self.source, self.constants)
            if prelude:
                casts = read_casts(self.source, prelude.tensor, FloatType.FP32, prelude.nodes)
            else:
                casts = read_casts(self.source, data.name, element_of(data), 0)
            shape = prelude.shape if prelude else tuple(_dims(data)[1:])
            self.nodes.append(Node(casts.source, ops.Input(shape), ()))
            for proto in casts.nodes:
                self._read(self._call(proto, casts.inner))
            graph = Graph(self.source.name, (casts.source,), casts.results, tuple(self.nodes))
        except (InvalidGraph, OpError, UnicodeDecodeError) as error:
            raise unreadable(str(error)) from None
        self._check_values(graph, casts)
        return Found(graph, self.weights, prelude, casts)

    def _check_values(self, graph: Graph, casts: Casts) -> None:
        """Compare the declared types, shapes and paddings with the computed ones. Raises Failure (exit 4)."""
        for value in self.source.value_info:
            if value.type.HasField("tensor_type") and element_of(value) is not casts.inner:
                raise unreadable(f"{value.name} is declared as {element_of(value)} in a network of {casts.inner}")
        for node in graph.nodes:
            if node.name in self.ends and self.ends[node.name] != _ends(node.op, graph, node):
                raise unreadable(f"{node.name} is padded otherwise than a pooling of Caffe's rule")
        for value in (*self.source.value_info, *self.source.output):
            says = value.type.tensor_type.HasField("shape") and value.name in graph.shapes
            if says and tuple(_dims(value)[1:]) != graph.shapes[value.name]:
                raise unreadable(f"{value.name} is declared with another shape than it has")
        for node in graph.nodes:
            wanted = [parameter.shape for parameter in graph.parameters(node)]
            held = [self.tensors[name] for name in self.weights.get(node.name, [])]
            if wanted != held:
                raise unreadable(f"{node.name} has weights of the shapes {held} instead of {wanted}")

    def _call(self, proto: NodeProto, element: FloatType) -> Call:
        if not all(isinstance(name, str) for name in (*proto.input, *proto.output)):
            raise unreadable("a name is not UTF-8 text")  # protobuf returns bytes for it
        at = {attribute.name: _value(attribute) for attribute in proto.attribute}
        counts = {name: _count(value) for name, value in at.items()}
        if proto.domain or counts not in _ATTRIBUTES.get(proto.op_type, ({},)):
            raise unreadable(f"the IR has no word for {proto.op_type} with {at}")
        weights = tuple(name for name in proto.input if name in self.tensors)
        constants = tuple(name for name in proto.input if name in self.constants)
        data = tuple(name for name in proto.input if name not in self.tensors and name not in self.constants)
        if len(proto.output) != 1 or not data or [*data, *weights, *constants] != list(proto.input):
            raise unreadable(f"the {proto.op_type} node {proto.name} has other inputs or outputs than it can have")
        shapes = tuple(self.tensors[name] for name in weights)
        held = tuple(self.constants[name] for name in constants)
        if any(self.types[name] is not element for name in weights) or any(
            values.dtype not in (element.dtype, np.int64) for values in held
        ):
            raise unreadable(f"the {proto.op_type} node {proto.name} is given numbers of another type than {element}")
        return Call(proto.op_type, proto.output[0], at, data, weights, shapes, held)

    def _read(self, call: Call) -> None:
        """Add a node of the file to the graph, under the name of its output."""
        forms = [self.forms[name] for name in call.data if name in self.forms]
        if forms and len(call.data) != 1 and not isinstance(forms[0], Softplus):
            raise unreadable(f"the IR has no word for {call.kind} of what is half done")
        if forms:
            self._step(call, go_on(call, forms[0], self.shapes.get(forms[0].source, ())))
        elif call.kind in ("Pad", "Slice", "Reshape", "Softplus"):
            self._step(call, begin(call, self.shapes.get(call.data[0], ())))
        else:
            self._add(call, self._op(call), call.data, call.weights)

    def _step(self, call: Call, made: Form | Done) -> None:
        if not isinstance(made, Done):
            self.forms[call.tensor] = made
            return
        if isinstance(made.op, ops.GroupNorm):
            for name in made.weights:  # channels x 1 x 1, so that a product can broadcast it
                self.tensors[name] = self.tensors[name][:1]
        if made.end:
            self.ends[call.tensor] = made.end
        self._add(call, made.op, (made.source,), made.weights)

    def _add(self, call: Call, op: Op, inputs: tuple[str, ...], weights: tuple[str, ...] = ()) -> None:
        self.nodes.append(Node(call.tensor, op, inputs))
        self.weights[call.tensor] = list(weights)

    # Ops that are one node

    def _op(self, call: Call) -> Op:
        kind, at, weights = call.kind, call.at, call.weights
        if call.constants and kind != "Clip":
            raise call.stranger()
        match kind:
            case "Conv" if weights and len(at) == 5:
                return self._conv(at, weights)
            case "BatchNormalization":
                return ops.BatchNorm(at["epsilon"])
            case "GroupNormalization":
                return ops.GroupNorm(at["num_groups"], at["epsilon"])
            case "LRN":
                return ops.Lrn(at["size"], at["alpha"], at["beta"], at["bias"])
            case "Relu":
                return ops.Relu()
            case "LeakyRelu":
                return ops.LeakyRelu(at["alpha"])
            case "Clip" if [values.tolist() for values in call.constants] == [0, 6]:
                return ops.Relu6()
            case "Mish":
                return ops.Mish()
            case "Gelu":
                return ops.Gelu()
            case "Identity":
                return ops.Dropout(0.5)  # any ratio: inference ignores it
            case "Sigmoid":
                return ops.Sigmoid()
            case "MaxPool":
                return self._maxpool(call)
            case "AveragePool":
                return self._avgpool(call)
            case "GlobalAveragePool":
                return ops.GlobalAvgPool()
            case "Flatten" if at["axis"] == 1:
                return ops.Flatten()
            case "Gemm" if at["transB"] == 1 and weights:
                return ops.Fc(self.tensors[weights[0]][0], bias=len(weights) == 2)
            case "Softmax" if at["axis"] == 1:
                return ops.Softmax()
            case "Add" | "Sum":
                return ops.Add()
            case "Mul":
                return ops.Mul()
            case "Concat" if at["axis"] == 1:
                return ops.Concat()
            case _:
                raise unreadable(f"the IR has no word for {kind} with {at}")

    def _conv(self, at: dict[str, Any], weights: tuple[str, ...]) -> ops.Conv:
        top, left, bottom, right = at["pads"]
        if (top, left) != (bottom, right):
            raise unreadable("a convolution with uneven padding")
        return ops.Conv(
            kernel=at["kernel_shape"],
            out_channels=self.tensors[weights[0]][0],
            stride=at["strides"],
            groups=at["group"],
            dilation=at["dilations"],
            pad=(top, left),
            bias=len(weights) == 2,
        )

    def _maxpool(self, call: Call) -> ops.MaxPool:
        """Return the pooling. More padding at the end than at the start is the overhang of a pooling that rounds up."""
        top, left, bottom, right = call.at["pads"]
        self.ends[call.tensor] = (bottom, right)
        rounds_up = (bottom, right) != (top, left)
        return ops.MaxPool(call.at["kernel_shape"], call.at["strides"], (top, left), rounds_up)

    def _avgpool(self, call: Call) -> ops.AvgPool:
        top, left, bottom, right = call.at["pads"]
        rounds_up = (bottom, right) != (top, left)
        if call.at["count_include_pad"] and rounds_up:
            raise unreadable("an average that counts the overhang of its windows")
        self.ends[call.tensor] = (bottom, right)
        excludes = not call.at["count_include_pad"]
        return ops.AvgPool(call.at["kernel_shape"], call.at["strides"], (top, left), rounds_up, excludes)


def _ends(op: Op, graph: Graph, node: Node) -> Pair:
    assert isinstance(op, ops.Pool)
    (shape,) = graph.input_shapes(node)
    return (op.pad[0] + op.overhang(shape[1], 0), op.pad[1] + op.overhang(shape[2], 1))


def _dims(value: ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _constant(tensor: TensorProto) -> Constant:
    """Return the values of a constant with typed data. Raises Failure (exit 4) for an unknown type or a wrong size."""
    match tensor.data_type:
        case TensorProto.FLOAT:
            values = np.array(tensor.float_data, np.float32)
        case TensorProto.FLOAT16 if all(0 <= bits < 1 << 16 for bits in tensor.int32_data):
            values = np.array(tensor.int32_data, np.uint16).view(np.float16)
        case TensorProto.INT64:
            values = np.array(tensor.int64_data, np.int64)
        case _:
            raise unreadable(f"the constant {tensor.name} is of no known type")
    if values.size != int(np.prod(tensor.dims, dtype=np.int64)):
        raise unreadable(f"the constant {tensor.name} is of another size than it says")
    return values.reshape(tuple(tensor.dims))


def _count(value: Any) -> int:
    """Return the count of numbers of an attribute; text has none."""
    return len(value) if isinstance(value, tuple) else int(not isinstance(value, bytes))


def _value(attribute: AttributeProto) -> Any:
    match attribute.type:
        case AttributeProto.INT:
            return attribute.i
        case AttributeProto.FLOAT:
            return shortest(attribute.f)
        case AttributeProto.STRING:
            return attribute.s
        case AttributeProto.INTS:
            return tuple(attribute.ints)
        case _:
            raise unreadable(f"the attribute {attribute.name} is of no known type")
