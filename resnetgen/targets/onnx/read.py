"""An ONNX file -> the IR's graph and a checksum of each weight. Shares nothing with the emitter but the schema."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.ir import ops
from resnetgen.ir.canonical import shortest
from resnetgen.ir.graph import Graph, InvalidGraph, Node
from resnetgen.ir.ops import Op, OpError, Pair, Shape
from resnetgen.targets.onnx.schema import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
from resnetgen.weights.wire import Field, Truncated, field_bytes, fields, range_checksum

_WINDOW = {"kernel_shape": 2, "strides": 2, "pads": 4}
_ATTRIBUTES: dict[str, dict[str, int]] = {
    "Conv": {**_WINDOW, "dilations": 2, "group": 1},
    "BatchNormalization": {"epsilon": 1},
    "MaxPool": _WINDOW,
    "AveragePool": {**_WINDOW, "count_include_pad": 1},
    "LeakyRelu": {"alpha": 1},
    "Flatten": {"axis": 1},
    "Gemm": {"transB": 1},
    "Softmax": {"axis": 1},
    "Concat": {"axis": 1},
}
"""Kind of node -> its attributes, and how many values each has: one more or one less would mean something else."""


@dataclass(frozen=True)
class Tensor:
    """A weight as the file has it."""

    shape: Shape
    checksum: int


@dataclass(frozen=True)
class OnnxFile:
    model: ModelProto
    """Without the weights' values."""
    tensors: dict[str, Tensor]


def read_file(path: Path) -> OnnxFile:
    """Structure and checksums of a model; the values are read in passing and never held.

    Raises Failure (exit 4): truncated, not a model, a weight of another type or size than it says.
    """
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            return _Reader(path, file).read(end)
    except (Truncated, DecodeError) as error:
        raise _bad(path, f"it is no ONNX model, or only a part of one: {error}") from None
    except OSError as error:
        raise fail(Exit.IO, Code.MISSING_FILE, f"cannot read {path}: {error.strerror}") from None


def _bad(path: Path, what: str) -> Failure:
    return fail(Exit.MODEL, Code.BAD_MODEL, f"{path}: {what}")


class _Reader:
    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.file = file
        self.tensors: dict[str, Tensor] = {}

    def read(self, end: int) -> OnnxFile:
        """A model may come in fragments; without the weights they are one small message."""
        model = ModelProto()
        graph_field = ModelProto.DESCRIPTOR.fields_by_name["graph"].number
        for field in fields(self.file, 0, end):
            if field.number == graph_field and field.is_delimited:
                for inner in fields(self.file, field.start, field.end):
                    self._graph_field(model, inner)
            else:
                model.MergeFromString(field_bytes(self.file, field))
        return OnnxFile(model, self.tensors)

    def _graph_field(self, model: ModelProto, field: Field) -> None:
        if field.number != model.graph.DESCRIPTOR.fields_by_name["initializer"].number or not field.is_delimited:
            model.graph.MergeFromString(field_bytes(self.file, field))
            return
        head = TensorProto()
        raw: Field | None = None
        for inner in fields(self.file, field.start, field.end):
            if inner.number == TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number and inner.is_delimited:
                raw = inner
            else:
                head.MergeFromString(field_bytes(self.file, inner))
        if head.data_type != TensorProto.FLOAT:
            model.graph.initializer.append(head)
            return
        if head.name in self.tensors:
            raise _bad(self.path, f"two weights are called {head.name}")
        self.tensors[head.name] = Tensor(tuple(head.dims), self._checksum(head, raw))

    def _checksum(self, head: TensorProto, raw: Field | None) -> int:
        size = 4 * prod(head.dims)
        if head.data_location == TensorProto.EXTERNAL:
            # What is not UTF-8 text comes as bytes.
            place = {str(entry.key): str(entry.value) for entry in head.external_data}
            if not all(place.get(key, "").isdecimal() for key in ("offset", "length")):
                raise _bad(self.path, f"the weight {head.name} does not say where it lies")
            with _beside(self.path, place.get("location", "")).open("rb") as data:
                return self._sum(data, head.name, int(place["offset"]), int(place["length"]), size)
        if raw is None:
            raise _bad(self.path, f"the weight {head.name} has no raw data")
        return self._sum(self.file, head.name, raw.start, raw.end - raw.start, size)

    def _sum(self, file: BinaryIO, name: str, start: int, length: int, size: int) -> int:
        if length != size:
            raise _bad(self.path, f"the weight {name} holds {length} bytes instead of {size}")
        if start + length > file.seek(0, 2):
            raise _bad(self.path, f"the weight {name} is cut short")
        return range_checksum(file, start, start + length)


def _beside(path: Path, location: str) -> Path:
    """External data lies beside the model: a location that leads elsewhere, on whatever system, is refused."""
    beside = path.parent / location
    is_name = PureWindowsPath(location).name == location and location not in ("", "..") and location.isprintable()
    if not is_name or beside.is_symlink():
        raise _bad(path, f"its weights lie outside its folder: {location!r}")
    if not beside.is_file():
        raise _bad(path, f"its weights are missing: {location!r}")
    return beside


def read_graph(file: OnnxFile) -> tuple[Graph, dict[str, list[str]]]:
    """The network as the IR says it, and for each node the weights it is given, in their order.

    Raises Failure (exit 4) for what the IR has no word for.
    """
    reader = _GraphReader(file)
    return reader.graph(), reader.weights


class _GraphReader:
    def __init__(self, file: OnnxFile) -> None:
        self.source = file.model.graph
        self.tensors = file.tensors
        self.integers = {t.name: tuple(t.int64_data) for t in self.source.initializer}
        self.nodes: list[Node] = []
        self.weights: dict[str, list[str]] = {}
        """Node -> its weights, in their order."""
        self.pads: dict[str, tuple[str, Pair]] = {}
        """The tensor of a Pad node -> its input tensor and its zeros."""
        self.ends: dict[str, Pair] = {}
        """Pooling -> its padding at the bottom and the right, an overhang included."""

    def graph(self) -> Graph:
        if len(self.source.input) != 1 or len(_dims(self.source.input[0])) != 4:
            raise _unreadable("it has not one input of four dimensions")
        try:
            self._input(self.source.input[0])
            for proto in self.source.node:
                self._read(proto, {attribute.name: _value(attribute) for attribute in proto.attribute})
            graph = Graph(self.source.name, tuple(self.nodes))
        except (InvalidGraph, OpError, UnicodeDecodeError) as error:
            raise _unreadable(str(error)) from None
        self._check_values(graph)
        return graph

    def _input(self, data: ValueInfoProto) -> None:
        _, channels, height, width = _dims(data)
        self.nodes.append(Node(data.name, ops.Input((channels, height, width)), ()))

    def _check_values(self, graph: Graph) -> None:
        """What the file says of its tensors must be what the ops compute."""
        if [value.name for value in self.source.output] != [node.name for node in graph.outputs]:
            raise _unreadable("its outputs are not the tensors that no node reads")
        for node in graph.nodes:
            if isinstance(node.op, ops.MaxPool | ops.AvgPool) and self.ends[node.name] != _ends(node.op, graph, node):
                raise _unreadable(f"{node.name} is padded otherwise than a pooling of Caffe's rule")
        for value in (*self.source.value_info, *self.source.output):
            says = value.type.tensor_type.HasField("shape") and value.name in graph.shapes
            if says and tuple(_dims(value)[1:]) != graph.shapes[value.name]:
                raise _unreadable(f"{value.name} is declared with another shape than it has")
        for node in graph.nodes:
            wanted = [parameter.shape for parameter in graph.parameters(node)]
            held = [self.tensors[name].shape for name in self.weights.get(node.name, [])]
            if wanted != held:
                raise _unreadable(f"{node.name} has weights of the shapes {held} instead of {wanted}")

    def _read(self, proto: NodeProto, at: dict[str, Any]) -> None:
        """A node is called as its output is."""
        if not all(isinstance(name, str) for name in (*proto.input, *proto.output)):
            raise _unreadable("a name is not UTF-8 text")  # protobuf then gives bytes
        kind, weights = proto.op_type, [name for name in proto.input if name in self.tensors]
        data = [name for name in proto.input if name not in self.tensors]
        counts = {name: len(value) if isinstance(value, tuple) else 1 for name, value in at.items()}
        if proto.domain or counts != _ATTRIBUTES.get(kind, {}):
            raise _unreadable(f"the IR has no word for {kind} with {at}")
        if len(proto.output) != 1 or not data or [*data, *weights] != list(proto.input):
            raise _unreadable(f"the {kind} node {proto.name} has other inputs or outputs than it can have")
        tensor = proto.output[0]
        if kind == "Pad":
            self.pads[tensor] = (data[0], self._zeros(data[1:]))
            return
        if self.pads.keys() & set(data) and kind != "AveragePool":
            raise _unreadable(f"the IR has no word for {kind} of what is padded")
        inputs = tuple(self.pads[name][0] if name in self.pads else name for name in data)
        self.nodes.append(Node(tensor, self._op(kind, tensor, at, weights, data), inputs))
        self.weights[tensor] = weights

    def _zeros(self, names: list[str]) -> Pair:
        pads = self.integers.get(names[0], ()) if len(names) == 1 else ()
        if len(pads) != 8 or pads[:2] != (0, 0) or pads[:4] != pads[4:]:
            raise _unreadable(f"{names} does not pad an image evenly")
        return (pads[2], pads[3])

    def _op(self, kind: str, tensor: str, at: dict[str, Any], weights: list[str], data: list[str]) -> Op:
        match kind:
            case "Conv" if weights:
                return self._conv(at, weights)
            case "BatchNormalization":
                return ops.BatchNorm(at["epsilon"])
            case "Relu":
                return ops.Relu()
            case "LeakyRelu":
                return ops.LeakyRelu(at["alpha"])
            case "Identity":
                return ops.Dropout(0.5)  # whichever: inference does not see it
            case "Sigmoid":
                return ops.Sigmoid()
            case "MaxPool":
                return self._pool(ops.MaxPool, tensor, at, data[0])
            case "AveragePool":
                return self._pool(ops.AvgPool, tensor, at, data[0])
            case "GlobalAveragePool":
                return ops.GlobalAvgPool()
            case "Flatten" if at["axis"] == 1:
                return ops.Flatten()
            case "Gemm" if at["transB"] == 1 and weights:
                return ops.Fc(self.tensors[weights[0]].shape[0], bias=len(weights) == 2)
            case "Softmax" if at["axis"] == 1:
                return ops.Softmax()
            case "Add" | "Sum":
                return ops.Add()
            case "Mul":
                return ops.Mul()
            case "Concat" if at["axis"] == 1:
                return ops.Concat()
            case _:
                raise _unreadable(f"the IR has no word for {kind} with {at}")

    def _conv(self, at: dict[str, Any], weights: list[str]) -> ops.Conv:
        top, left, bottom, right = at["pads"]
        if (top, left) != (bottom, right):
            raise _unreadable("a convolution with uneven padding")
        return ops.Conv(
            kernel=at["kernel_shape"],
            out_channels=self.tensors[weights[0]].shape[0],
            stride=at["strides"],
            groups=at["group"],
            dilation=at["dilations"],
            pad=(top, left),
            bias=len(weights) == 2,
        )

    def _pool(
        self, kind: type[ops.MaxPool] | type[ops.AvgPool], tensor: str, at: dict[str, Any], source: str
    ) -> ops.MaxPool | ops.AvgPool:
        """Padding at the end beyond that at the start is the overhang of a pooling that rounds up."""
        top, left, bottom, right = at["pads"]
        pad: Pair = (top, left)
        options: dict[str, Any] = {}
        rounds_up = (bottom, right) != (top, left)
        self.ends[tensor] = (bottom, right)
        if source in self.pads:
            own = self.pads[source][1]
            if pad != (0, 0) or at["count_include_pad"]:
                raise _unreadable("a pooling that pads what is padded already")
            pad = own
            self.ends[tensor] = (bottom + own[0], right + own[1])
        elif kind is ops.AvgPool:
            if at["count_include_pad"] and rounds_up:
                raise _unreadable("an average that counts the overhang of its windows")
            options["exclude_pad"] = not at["count_include_pad"]
        return kind(kernel=at["kernel_shape"], stride=at["strides"], pad=pad, ceil=rounds_up, **options)


def _unreadable(what: str) -> Failure:
    return fail(Exit.MODEL, Code.BAD_MODEL, f"the ONNX model cannot be read: {what}")


def _ends(op: ops.Pool, graph: Graph, node: Node) -> Pair:
    (shape,) = graph.input_shapes(node)
    return (op.pad[0] + op.overhang(shape[1], 0), op.pad[1] + op.overhang(shape[2], 1))


def _dims(value: ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _value(attribute: AttributeProto) -> Any:
    match attribute.type:
        case AttributeProto.INT:
            return attribute.i
        case AttributeProto.FLOAT:
            return shortest(attribute.f)
        case AttributeProto.INTS:
            return tuple(attribute.ints)
        case _:
            raise _unreadable(f"the attribute {attribute.name} is of no known type")
