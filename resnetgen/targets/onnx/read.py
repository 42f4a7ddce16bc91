"""An ONNX file -> the IR's graph and a digest of each weight. Shares nothing with the emitter but the schema."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from google.protobuf.message import DecodeError
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.ir.graph import Graph, InvalidGraph, Node
from resnetgen.ir.ops import (
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Fc,
    Flatten,
    GlobalAvgPool,
    Input,
    MaxPool,
    Mul,
    Op,
    OpError,
    Pair,
    Relu,
    Shape,
    Sigmoid,
    Softmax,
)
from resnetgen.weights.wire import Field, Truncated, fields

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Tensor:
    """A weight as the file has it."""

    shape: Shape
    digest: str


@dataclass(frozen=True)
class OnnxFile:
    model: ModelProto
    """Without the weights' values."""
    tensors: dict[str, Tensor]


def read_file(path: Path) -> OnnxFile:
    """Structure and digests of a model; the values are hashed in passing and never held.

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
                model.MergeFromString(self._bytes(field.head, field.end))
        return OnnxFile(model, self.tensors)

    def _graph_field(self, model: ModelProto, field: Field) -> None:
        if field.number != model.graph.DESCRIPTOR.fields_by_name["initializer"].number:
            model.graph.MergeFromString(self._bytes(field.head, field.end))
            return
        head = TensorProto()
        raw: Field | None = None
        for inner in fields(self.file, field.start, field.end):
            if inner.number == TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number:
                raw = inner
            else:
                head.MergeFromString(self._bytes(inner.head, inner.end))
        if head.data_type != TensorProto.FLOAT:
            model.graph.initializer.append(head)
            return
        if head.name in self.tensors:
            raise _bad(self.path, f"two weights are called {head.name}")
        self.tensors[head.name] = Tensor(tuple(head.dims), self._digest(head, raw))

    def _digest(self, head: TensorProto, raw: Field | None) -> str:
        size = 4 * prod(head.dims)
        if head.data_location == TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in head.external_data}
            with (self.path.parent / _file_name(place["location"], self.path)).open("rb") as data:
                return self._hash(data, head.name, int(place["offset"]), int(place["length"]), size)
        if raw is None:
            raise _bad(self.path, f"the weight {head.name} has no raw data")
        return self._hash(self.file, head.name, raw.start, raw.end - raw.start, size)

    def _hash(self, file: BinaryIO, name: str, start: int, length: int, size: int) -> str:
        if length != size:
            raise _bad(self.path, f"the weight {name} holds {length} bytes instead of {size}")
        digest = hashlib.sha256()
        file.seek(start)
        while length:
            chunk = file.read(min(length, _CHUNK))
            if not chunk:
                raise _bad(self.path, f"the weight {name} is cut short")
            digest.update(chunk)
            length -= len(chunk)
        return digest.hexdigest()

    def _bytes(self, start: int, end: int) -> bytes:
        self.file.seek(start)
        return self.file.read(end - start)


def _file_name(location: str, path: Path) -> str:
    """External data lies beside the model: a location that leads elsewhere is refused."""
    if Path(location).name != location or (path.parent / location).is_symlink():
        raise _bad(path, f"its weights lie outside its folder: {location!r}")
    return location


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

    def graph(self) -> Graph:
        (data,) = self.source.input
        _, channels, height, width = _dims(data)
        self.nodes.append(Node(data.name, Input((channels, height, width)), ()))
        for proto in self.source.node:
            self._read(proto, {attribute.name: _value(attribute) for attribute in proto.attribute})
        try:
            graph = Graph(self.source.name, tuple(self.nodes))
        except (InvalidGraph, OpError) as error:
            raise fail(Exit.MODEL, Code.BAD_MODEL, f"the ONNX model is inconsistent: {error}") from None
        self._check_values(graph)
        return graph

    def _check_values(self, graph: Graph) -> None:
        """What the file says of its tensors must be what the ops compute."""
        for value in (*self.source.value_info, *self.source.output):
            if value.name in graph.shapes and tuple(_dims(value)[1:]) != graph.shapes[value.name]:
                raise fail(Exit.MODEL, Code.BAD_MODEL, f"{value.name} is declared with another shape than it has")
        for node in graph.nodes:
            wanted = [parameter.shape for parameter in graph.parameters(node)]
            held = [self.tensors[name].shape for name in self.weights.get(node.name, [])]
            if wanted != held:
                message = f"{node.name} has weights of the shapes {held} instead of {wanted}"
                raise fail(Exit.MODEL, Code.BAD_MODEL, message)

    def _read(self, proto: NodeProto, at: dict[str, Any]) -> None:
        """A node is called as its output is."""
        (tensor,) = proto.output
        if proto.op_type == "Pad":
            self.pads[tensor] = (proto.input[0], self._zeros(proto.input[1]))
            return
        weights = [name for name in proto.input if name in self.tensors]
        data = [name for name in proto.input if name not in self.tensors]
        inputs = tuple(self.pads[name][0] if name in self.pads else name for name in data)
        self.nodes.append(Node(tensor, self._op(proto.op_type, at, weights, data), inputs))
        self.weights[tensor] = weights

    def _zeros(self, name: str) -> Pair:
        pads = self.integers[name]
        if pads[:2] != (0, 0) or pads[:4] != pads[4:]:
            raise fail(Exit.MODEL, Code.BAD_MODEL, f"{name} does not pad an image evenly")
        return (pads[2], pads[3])

    def _op(self, kind: str, at: dict[str, Any], weights: list[str], data: list[str]) -> Op:
        match kind:
            case "Conv":
                return self._conv(at, weights)
            case "BatchNormalization":
                return BatchNorm(at["epsilon"])
            case "Relu":
                return Relu()
            case "Sigmoid":
                return Sigmoid()
            case "MaxPool":
                return self._pool(MaxPool, at, data[0])
            case "AveragePool":
                return self._pool(AvgPool, at, data[0])
            case "GlobalAveragePool":
                return GlobalAvgPool()
            case "Flatten" if at["axis"] == 1:
                return Flatten()
            case "Gemm" if at["transB"] == 1:
                return Fc(self.tensors[weights[0]].shape[0], bias=len(weights) == 2)
            case "Softmax" if at["axis"] == 1:
                return Softmax()
            case "Add" | "Sum":
                return Add()
            case "Mul":
                return Mul()
            case "Concat" if at["axis"] == 1:
                return Concat()
            case _:
                raise fail(Exit.MODEL, Code.BAD_MODEL, f"the IR has no word for {kind} with {at}")

    def _conv(self, at: dict[str, Any], weights: list[str]) -> Conv:
        top, left, bottom, right = at["pads"]
        if (top, left) != (bottom, right):
            raise fail(Exit.MODEL, Code.BAD_MODEL, "a convolution with uneven padding")
        return Conv(
            kernel=at["kernel_shape"],
            out_channels=self.tensors[weights[0]].shape[0],
            stride=at["strides"],
            groups=at["group"],
            dilation=at["dilations"],
            pad=(top, left),
            bias=len(weights) == 2,
        )

    def _pool(self, kind: type[MaxPool] | type[AvgPool], at: dict[str, Any], tensor: str) -> MaxPool | AvgPool:
        """Padding at the end beyond that at the start is the overhang of a pooling that rounds up."""
        top, left, bottom, right = at["pads"]
        pad: Pair = (top, left)
        options: dict[str, Any] = {}
        if tensor in self.pads:
            own = self.pads[tensor][1]
            if pad != (0, 0) or at["count_include_pad"]:
                raise fail(Exit.MODEL, Code.BAD_MODEL, "a pooling that pads what is padded already")
            pad = own
        elif kind is AvgPool:
            options["exclude_pad"] = not at["count_include_pad"]
        rounds_up = (bottom, right) != (top, left)
        return kind(kernel=at["kernel_shape"], stride=at["strides"], pad=pad, ceil=rounds_up, **options)


def _dims(value: ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _value(attribute: AttributeProto) -> Any:
    match attribute.type:
        case AttributeProto.INT:
            return attribute.i
        case AttributeProto.FLOAT:
            # The shortest decimal that is this float32: 1e-5, as specs write it.
            return float(f"{attribute.f:.7g}")
        case AttributeProto.INTS:
            return tuple(attribute.ints)
        case _:
            raise fail(Exit.MODEL, Code.BAD_MODEL, f"the attribute {attribute.name} is of no known type")
