"""Tensors of an ONNX file in every encoding: raw bytes, lists of numbers, and bytes in a file next to the model.

A tensor's description is read at once and checked against the size of the file; its values only when they are asked
for. Field numbers are those of onnx.proto. Readers merge a model that was written in fragments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from math import prod

import msgspec

from resnetgen.errors import Failure
from resnetgen.formats.onnx.model.external import beside
from resnetgen.wire.access import Place, Ranges
from resnetgen.wire.dtypes import MAX_RANK, Values, show_shape, width
from resnetgen.wire.fields import MAX_VARINT, Field, Truncated
from resnetgen.wire.messages import Messages
from resnetgen.wire.repeated import Repeated, Varints

_GRAPH = 7  # ModelProto
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15  # GraphProto
_OUTPUT, _OPERATOR, _ATTRIBUTE = 2, 4, 5  # NodeProto
_ATTRIBUTE_NAME, _ATTRIBUTE_TENSOR = 1, 5  # AttributeProto
_DIMS, _DTYPE, _NAME, _LOCATION, _EXTERNAL_DATA = 1, 2, 8, 14, 13  # TensorProto
_FLOATS, _INT32S, _INT64S, _RAW, _DOUBLES, _UINT64S = 4, 5, 7, 9, 10, 11  # TensorProto, the values
_EXTERNAL = 1  # TensorProto.DataLocation
_KEY, _VALUE = 1, 2  # StringStringEntryProto

DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
"""TensorProto.DataType -> type of the tensors that are read."""
_VARINTS = {"int64": _INT64S, "uint32": _UINT64S, "uint64": _UINT64S}
"""Field of the values that are not raw. For the types that are not listed, and are not floats, it is int32_data."""
_MAX_PLACES = 8
"""Limit of entries that locate external data; the format defines five."""
_SMALL_NODE = 1 << 16
"""Bytes up to which a node is searched for the name of the operator Constant before its fields are read."""


class Tensor(msgspec.Struct, frozen=True):
    """A tensor of a file, without its values."""

    name: str
    dtype: str
    """Type as stored: float32, float16, bfloat16, int64, ...; empty for one that is not read."""
    shape: tuple[int, ...]
    place: Place
    """Range of bytes of the description."""
    load: Callable[[], Values]
    """Function that reads the values anew. Raises Failure: exit 4 for damaged values or a type that is not read, exit 5
    for an unreadable file."""
    start: int = 0
    end: int = 0
    """Range of bytes of the values; both 0 if they are not contiguous."""
    file: str = ""
    """Name of the file next to the model that has the bytes; empty for the model itself."""
    is_list: bool = False
    """True if the values are a list of numbers, not raw bytes."""


class _Message(msgspec.Struct):
    """The fields of a TensorProto that matter."""

    place: Place
    name: str = ""
    number: int = 0
    dims: list[int] = msgspec.field(default_factory=list)
    raw: Place | None = None
    floats: Repeated = msgspec.field(default_factory=lambda: Repeated("float32"))
    doubles: Repeated = msgspec.field(default_factory=lambda: Repeated("float64"))
    varints: dict[int, Varints] = msgspec.field(default_factory=dict)
    is_external: bool = False
    external: dict[str, str] = msgspec.field(default_factory=dict)


class TensorReader:
    """Reader of the tensors of one model."""

    def __init__(self, ranges: Ranges) -> None:
        self.ranges = ranges
        self.beside: dict[str, Ranges] = {}
        """Files next to the model that have values of tensors read so far, by name."""

    def read(self, messages: Messages, place: Field, name: str | None = None) -> Tensor:
        """Read the TensorProto in a field; `name` replaces its own.

        Raises Truncated for a damaged message, ModelError for a tensor that the file does not hold.
        """
        message = _read_message(messages, place)
        message.name = message.name if name is None else name
        dtype, shape = DTYPES.get(message.number), tuple(message.dims)
        if any(dim < 0 for dim in shape):
            raise self._refuse(message, "has an invalid shape")
        if dtype is None:
            failure = self._refuse(message, f"is of the type {message.number} of onnx.proto, which is not read")
            return Tensor(message.name, "", shape, message.place, partial(_raise, failure))
        count = prod(shape)
        encodings = [message.is_external, message.raw, message.floats.elements, message.doubles.elements]
        if sum(map(bool, [*encodings, *message.varints])) > 1:
            raise self._refuse(message, "holds its values twice")
        if message.is_external:
            return self._external(message, dtype, shape)
        if message.raw or not count:
            return self._bytes(message, dtype, shape, self.ranges, *(message.raw or (0, 0)))
        if dtype in ("float32", "float64"):
            values = message.floats if dtype == "float32" else message.doubles
            if values.elements != count:
                raise self._refuse(message, f"of {show_shape(shape)} holds {values.elements:,} values")
            load = partial(values.load, self.ranges, shape)
            return Tensor(message.name, dtype, shape, message.place, load, *values.place(), is_list=True)
        varints = message.varints.get(_VARINTS.get(dtype, _INT32S), Varints())
        if not count <= varints.nbytes <= MAX_VARINT * count:
            raise self._refuse(message, f"of {show_shape(shape)} holds its values in {varints.nbytes:,} bytes")
        load = partial(varints.load, self.ranges, dtype, shape)
        return Tensor(message.name, dtype, shape, message.place, load, is_list=True)

    def _external(self, message: _Message, dtype: str, shape: tuple[int, ...]) -> Tensor:
        location, offset = message.external.get("location", ""), message.external.get("offset", "0")
        length = message.external.get("length", str(prod(shape) * width(dtype)))
        if not all(number.isdecimal() and number.isascii() and len(number) < 20 for number in (offset, length)):
            raise self._refuse(message, "does not say where it lies")
        if location not in self.beside:
            self.beside[location] = Ranges(beside(self.ranges.path, location))
        start = int(offset)
        ranges = self.beside[location]
        return self._bytes(message, dtype, shape, ranges, start, start + int(length), location)

    def _bytes(
        self, message: _Message, dtype: str, shape: tuple[int, ...], file: Ranges, start: int, end: int, name: str = ""
    ) -> Tensor:
        if end - start != prod(shape) * width(dtype):
            raise self._refuse(message, f"of {show_shape(shape)} {dtype} holds {end - start:,} bytes")
        if end > file.size:
            raise self._refuse(message, f"ends beyond {file.path.name}, which has {file.size:,} bytes")
        load = partial(file.array, start, dtype, shape)
        return Tensor(message.name, dtype, shape, message.place, load, start, end, name)

    def _refuse(self, message: _Message, what: str) -> Failure:
        return self.ranges.refuse(f"the initializer {message.name[:200]!r} {what}", message.place)


def _raise(failure: Failure) -> Values:
    raise failure


def is_graph(field: Field) -> bool:
    return field.number == _GRAPH and field.is_delimited


def read_tensors(reader: TensorReader) -> Iterator[Tensor]:
    """Yield the initializers of a model.

    Raises ModelError for a file that is truncated or damaged, or has sparse tensors.
    """
    ranges, last = reader.ranges, None
    with ranges.open() as file:
        messages = Messages(ranges, file)
        try:
            for outer in filter(is_graph, messages.fields(0, ranges.size)):
                for inner in messages.fields(outer.start, outer.end):
                    if is_sparse(inner):
                        raise ranges.refuse("it has a sparse initializer, which is not read", (inner.start, inner.end))
                    if inner.number == _INITIALIZER and inner.is_delimited:
                        last = reader.read(messages, inner)
                        yield last
        except Truncated as error:
            after = f", behind the initializer {last.name!r}" if last else ""
            raise ranges.refuse(f"it is only a part of an ONNX model, or damaged{after}: {error}") from None


def tensor_field(messages: Messages, field: Field) -> tuple[Field, str | None] | None:
    """Return the TensorProto in a field of a GraphProto, and the name that it has in the graph unless it is its own.

    None for a field that is neither an initializer nor a Constant node with a tensor. Raises Truncated.
    """
    if field.number == _INITIALIZER and field.is_delimited:
        return field, None
    return _constant(messages, field) if field.number == _NODE and field.is_delimited else None


def is_sparse(field: Field) -> bool:
    """Return True for a sparse initializer, a field of a GraphProto."""
    return field.number == _SPARSE and field.is_delimited


def _constant(messages: Messages, node: Field) -> tuple[Field, str] | None:
    """Return the tensor of a Constant node and the name of its output; None for another node."""
    size = node.end - node.start
    if size <= _SMALL_NODE and b"Constant" not in messages.read(node.start, size):
        return None
    operator, output, value = "", "", None
    for field in messages.fields(node.start, node.end):
        if field.number == _OPERATOR and field.is_delimited:
            operator = messages.text(field)
        elif field.number == _OUTPUT and field.is_delimited:
            output = messages.text(field)
        elif field.number == _ATTRIBUTE and field.is_delimited:
            parts = {one.number: one for one in messages.fields(field.start, field.end) if one.is_delimited}
            name = parts.get(_ATTRIBUTE_NAME)
            if name and _ATTRIBUTE_TENSOR in parts and messages.text(name) == "value":
                value = parts[_ATTRIBUTE_TENSOR]
    return (value, output) if operator == "Constant" and value else None


def _read_message(messages: Messages, tensor: Field) -> _Message:
    found = _Message((tensor.start, tensor.end))
    at = tensor.start
    while at < tensor.end:
        field = next(messages.fields(at, tensor.end))
        at = field.end
        if field.number == _FLOATS:
            at = found.floats.add(messages, field, tensor.end)
        elif field.number == _DOUBLES:
            at = found.doubles.add(messages, field, tensor.end)
        elif field.number in (_INT32S, _INT64S, _UINT64S):
            found.varints.setdefault(field.number, Varints()).add(field)
        elif field.number == _DIMS:
            found.dims += messages.integers(field)
        elif field.number == _RAW and field.is_delimited:
            found.raw = (field.start, field.end)
        elif field.number == _NAME and field.is_delimited:
            found.name = messages.text(field)
        elif field.number == _EXTERNAL_DATA and field.is_delimited:
            texts = {f.number: messages.text(f) for f in messages.fields(field.start, field.end) if f.is_delimited}
            found.external[texts.get(_KEY, "")] = texts.get(_VALUE, "")
        elif field.number == _DTYPE and not field.is_delimited:
            found.number = messages.integers(field)[-1]
        elif field.number == _LOCATION and not field.is_delimited:
            found.is_external = messages.integers(field)[-1] == _EXTERNAL
        if len(found.dims) > MAX_RANK or len(found.external) > _MAX_PLACES:
            raise Truncated(f"the tensor at byte {tensor.start:,} has an invalid shape or place")
    return found
