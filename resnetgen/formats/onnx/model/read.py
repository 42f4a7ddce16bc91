"""Reader of an ONNX file: its structure at once, the values of its tensors only when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from resnetgen.errors import Code, LimitError
from resnetgen.formats.onnx.model.nodes import OnnxNode, Value, read_nodes, read_value
from resnetgen.formats.onnx.model.schema import ModelProto, NodeProto, TensorProto
from resnetgen.formats.onnx.model.tensors import Tensor, TensorReader, is_graph, tensor_field
from resnetgen.wire.access import Ranges
from resnetgen.wire.fields import Field, Truncated
from resnetgen.wire.messages import Messages

MAX_STRUCTURE = 64 << 20
"""Limit in bytes of a model's nodes, types and small constants; those of ResNet-152 take 200 KB."""
MAX_NODES = 100_000
"""Limit of nodes; a spec has 20,000 at most."""
_FIELDS = 8
"""Limit of fields of a graph per node: its tensors have types besides."""
MAX_CONSTANTS = 1 << 24
"""Limit in elements of all constants that say what nodes do: shapes, padding, limits, kernels of blurs."""


class OnnxModel:
    """An ONNX file. Only its structure is in memory."""

    def __init__(self, ranges: Ranges, proto: ModelProto, tensors: list[tuple[Field, str | None]]) -> None:
        self.path = ranges.path
        self.proto = proto
        """The model without its initializers and without the Constant nodes that have a tensor."""
        self._ranges = ranges
        self._fields = tensors
        self._constants: dict[str, npt.NDArray[Any]] = {}
        self._left = MAX_CONSTANTS

    @cached_property
    def opsets(self) -> dict[str, int]:
        """Domain -> version; the domain of ONNX's own operators is empty."""
        return {"" if one.domain == "ai.onnx" else str(one.domain): one.version for one in self.proto.opset_import}

    @cached_property
    def opset(self) -> int:
        return self.opsets.get("", 1)

    @cached_property
    def metadata(self) -> dict[str, str]:
        return {str(entry.key): str(entry.value) for entry in self.proto.metadata_props}

    @cached_property
    def name(self) -> str:
        """Name of the graph."""
        return str(self.proto.graph.name)

    @cached_property
    def nodes(self) -> tuple[OnnxNode, ...]:
        """Nodes in the file's order, without Constant nodes. Raises ModelError for a name that is not text."""
        protos = [one for one in self.proto.graph.node if not _is_constant(one)]
        try:
            return read_nodes(protos, self.opset, self.constant)
        except UnicodeDecodeError:
            raise self._ranges.refuse("the name of a tensor is not UTF-8 text") from None

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """Initializers, and the tensors of Constant nodes, by name.

        Raises Failure: exit 4 for a tensor that is damaged or of an unsupported type, or two of one name.
        """
        found: dict[str, Tensor] = {}
        reader = TensorReader(self._ranges)
        with self._ranges.open() as file:
            messages = Messages(self._ranges, file)
            for place, name in self._fields:
                try:
                    tensor = reader.read(messages, place, name)
                except Truncated as error:
                    raise self._ranges.refuse(f"an initializer is damaged: {error}") from None
                if tensor.name in found:
                    raise self._ranges.refuse(f"two weights are called {tensor.name[:200]!r}")
                found[tensor.name] = tensor
        return found

    @cached_property
    def _numbers(self) -> dict[str, npt.NDArray[Any]]:
        """Values of the Constant nodes that have numbers in place of a tensor, by the name of their output."""
        found = {}
        for node in filter(_is_constant, self.proto.graph.node):
            for one in node.attribute:
                values = {"value_float": one.f, "value_floats": one.floats, "value_int": one.i, "value_ints": one.ints}
                if one.name in values and node.output:
                    dtype = np.float32 if "float" in one.name else np.int64
                    found[str(node.output[0])] = np.array(values[one.name], dtype)
        return found

    def is_constant(self, name: str) -> bool:
        return name in self.tensors or name in self._numbers

    def message(self, name: str) -> TensorProto:
        """Return an initializer as it is in the file."""
        return TensorProto.FromString(self._ranges.bytes(*self.tensors[name].place))

    def constant(self, name: str) -> npt.NDArray[Any] | None:
        """Return the values of an initializer or a Constant node; None for another tensor, which the file computes.

        Raises Failure: exit 4 for damaged values or a type that is not read, exit 6 beyond 16,777,216 values of all.
        """
        if name in self._numbers:
            return self._numbers[name]
        if name not in self._constants and (tensor := self.tensors.get(name)):
            self._left -= prod(tensor.shape)
            if self._left < 0:
                message = f"{self.path}: its constants have more than {MAX_CONSTANTS:,} values"
                raise LimitError.of(Code.LIMIT, message)
            self._constants[name] = tensor.load()
        return self._constants.get(name)

    @cached_property
    def inputs(self) -> tuple[Value, ...]:
        """Inputs of the graph, without initializers that are listed as inputs too."""
        return tuple(value for value in map(read_value, self.proto.graph.input) if not self.is_constant(value.name))

    @cached_property
    def outputs(self) -> tuple[Value, ...]:
        return tuple(map(read_value, self.proto.graph.output))

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Declared types of tensors inside the graph."""
        return tuple(map(read_value, self.proto.graph.value_info))


def _is_constant(node: NodeProto) -> bool:
    return node.op_type == "Constant" and node.domain in ("", "ai.onnx")


def read_model(path: Path, most_nodes: int = MAX_NODES, most_bytes: int = MAX_STRUCTURE) -> OnnxModel:
    """Read the structure of an ONNX file, merged if it is in fragments.

    Raises Failure: exit 4 for a file that is truncated, damaged or not a model; exit 5 if it cannot be read; exit 6 for
    more nodes, or a structure of more bytes.
    """
    ranges = Ranges(path)
    proto = ModelProto()
    tensors: list[tuple[Field, str | None]] = []
    take = _limit(path, most_nodes, most_bytes)
    with ranges.open() as file:
        messages = Messages(ranges, file)
        try:
            for outer in messages.fields(0, ranges.size):
                if not is_graph(outer):
                    take(outer)
                    proto.MergeFromString(messages.read(outer.head, outer.end - outer.head))
                    continue
                proto.graph.SetInParent()
                for field in messages.fields(outer.start, outer.end):
                    if tensor := tensor_field(messages, field):
                        tensors.append(tensor)
                        continue
                    take(field)
                    proto.graph.MergeFromString(messages.read(field.head, field.end - field.head))
        except (Truncated, DecodeError) as error:
            raise ranges.refuse(f"it is no ONNX model, or only a part of one: {error}") from None
    if len(proto.graph.node) > most_nodes:
        raise LimitError.of(Code.LIMIT, f"{path}: it has more than {most_nodes:,} nodes")
    return OnnxModel(ranges, proto, tensors)


def _limit(path: Path, most_nodes: int, most_bytes: int) -> Callable[[Field], None]:
    """Return a function that counts fields before they are read, and raises LimitError beyond a limit."""
    bytes_left, fields_left = most_bytes, _FIELDS * most_nodes

    def take(field: Field) -> None:
        nonlocal bytes_left, fields_left
        bytes_left -= field.end - field.head
        fields_left -= 1
        if fields_left < 0:
            raise LimitError.of(Code.LIMIT, f"{path}: it has far more than {most_nodes:,} nodes and tensors")
        if bytes_left < 0:
            raise LimitError.of(Code.LIMIT, f"{path}: its nodes and types take more than {most_bytes:,} bytes")

    return take
