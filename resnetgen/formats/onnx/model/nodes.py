"""Nodes and values of an ONNX graph, with the attributes that a file leaves out filled in."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from resnetgen.formats.onnx.model.attributes import defaults
from resnetgen.formats.onnx.model.schema import AttributeProto, NodeProto, ValueInfoProto
from resnetgen.formats.onnx.model.tensors import DTYPES

_INPUTS = {
    "Clip": {1: "min", 2: "max"},
    "Dropout": {1: "ratio", 2: "training_mode"},
    "Pad": {1: "pads", 2: "value", 3: "axes"},
    "ReduceMean": {1: "axes"},
    "Reshape": {1: "shape"},
    "Slice": {1: "starts", 2: "ends", 3: "axes", 4: "steps"},
    "Squeeze": {1: "axes"},
    "Unsqueeze": {1: "axes"},
}
"""Operator -> position of an input -> name of the attribute that it is read as if it is a constant. Most were
attributes in an older opset."""
_MAX_VALUES = 4096
"""Limit of the numbers of an attribute; the longest lists have two for each axis of a tensor."""


ReadConstant: TypeAlias = Callable[[str], npt.NDArray[Any] | None]


class Unread(Struct, frozen=True):
    """Value of an attribute that is neither a number nor a text: a tensor, a graph, or a list that is too long."""

    what: str


Attribute: TypeAlias = int | float | str | tuple[Any, ...] | Unread
"""Value of an attribute. Floats have the shortest decimal of their float32."""


class OnnxNode(Struct, frozen=True):
    operator: str
    domain: str
    """Empty for ONNX's own operators."""
    name: str
    """The node's name, or that of its first output if it has none."""
    inputs: tuple[str, ...]
    """Names of tensors; empty for an optional input that is left out. None is left out at the end."""
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]
    """Attributes of the file, and the defaults of the others."""
    unknown: tuple[str, ...] = ()
    """Attributes that the operator does not have at the model's opset, or that are of another type."""
    constants: tuple[str, ...] = ()
    """Inputs whose values are among the attributes."""


class Value(Struct, frozen=True):
    """Declared type of a tensor."""

    name: str
    dtype: str
    """float32, float16, uint8, ...; empty if it is not a tensor, or of a type whose values are not read."""
    shape: tuple[int | str, ...] | None
    """Extents; a name, which may be empty, for one that varies. None if no shape is declared."""


def read_nodes(protos: Iterable[NodeProto], opset: int, constant: ReadConstant) -> tuple[OnnxNode, ...]:
    """Return the nodes of a graph. Raises UnicodeDecodeError for a tensor's name that is not UTF-8.

    `constant` returns the values of a tensor; None if the file does not have them.
    """
    return tuple(_with_constants(_node(proto, opset), opset, constant) for proto in protos)


def _with_constants(node: OnnxNode, opset: int, constant: ReadConstant) -> OnnxNode:
    """Return a node with the constants that say what it does as attributes, not as inputs."""
    positions = {} if node.domain else _INPUTS.get(node.operator, {})
    attributes, inputs, folded = dict(node.attributes), list(node.inputs), []
    for position, name in positions.items():
        if name in defaults(node.operator, opset):
            continue  # it is an attribute still, and there is no such input
        values = constant(inputs[position]) if position < len(inputs) and inputs[position] else None
        if values is not None and values.ndim < 2 and values.size <= _MAX_VALUES:
            attributes[name] = tuple(values.tolist()) if values.ndim else values.item()
            folded.append(inputs[position])
            inputs[position] = ""
    while inputs and not inputs[-1]:
        inputs.pop()
    return replace(node, inputs=tuple(inputs), attributes=attributes, constants=tuple(folded))


def _node(proto: NodeProto, opset: int) -> OnnxNode:
    inputs, outputs = (tuple(map(_text, names)) for names in (proto.input, proto.output))
    domain = "" if proto.domain == "ai.onnx" else str(proto.domain)
    operator = str(proto.op_type)
    known = {} if domain else defaults(operator, opset)
    own = {str(one.name): _value(one) for one in proto.attribute}
    filled = {name: value for name, value in known.items() if not isinstance(value, type)}
    unknown = () if domain else tuple(name for name, value in own.items() if not _fits(value, known.get(name)))
    name = str(proto.name) or next(iter(outputs), "")
    return OnnxNode(operator, domain, name, inputs, outputs, filled | own, unknown)


def _fits(value: Attribute, known: Any) -> bool:
    return known is not None and type(value) is (known if isinstance(known, type) else type(known))


def read_value(proto: ValueInfoProto) -> Value:
    if not proto.type.HasField("tensor_type"):
        return Value(str(proto.name), "", None)
    tensor = proto.type.tensor_type
    shape = None
    if tensor.HasField("shape"):
        shape = tuple(dim.dim_value if dim.HasField("dim_value") else str(dim.dim_param) for dim in tensor.shape.dim)
    return Value(str(proto.name), DTYPES.get(tensor.elem_type, ""), shape)


def _text(name: object) -> str:
    if isinstance(name, bytes):  # protobuf returns bytes for a text that is not UTF-8
        name.decode("utf-8")
    return str(name)


def _value(attribute: AttributeProto) -> Attribute:
    match attribute.type:
        case AttributeProto.INT:
            return int(attribute.i)
        case AttributeProto.FLOAT:
            return shortest(attribute.f)
        case AttributeProto.STRING:
            return str(attribute.s.decode("utf-8", "replace"))
        case AttributeProto.INTS if len(attribute.ints) <= _MAX_VALUES:
            return tuple(attribute.ints)
        case AttributeProto.FLOATS if len(attribute.floats) <= _MAX_VALUES:
            return tuple(map(shortest, attribute.floats))
        case AttributeProto.TENSOR:
            return Unread(f"a tensor, CRC-32 {zlib.crc32(attribute.t.SerializeToString(deterministic=True)):08x}")
        case _:
            return Unread("a graph, or another value that is not read")


def shortest(value: float) -> float:
    """Return the shortest decimal with the same float32 value: 1e-05 for 9.99999975e-06."""
    return float(str(np.float32(value)))
