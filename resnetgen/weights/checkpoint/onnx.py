"""Reader of the initializers of an ONNX model, with values in the model or in a file next to it.

A model may be written in fragments, which readers merge. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

from functools import partial

from msgspec import Struct, field
from msgspec.structs import replace

from resnetgen.errors import Failure
from resnetgen.weights.checkpoint.entry import Contents, Entry
from resnetgen.weights.external import beside
from resnetgen.wire.access import Place, Ranges
from resnetgen.wire.dtypes import MAX_RANK, show_shape
from resnetgen.wire.fields import MAX_VARINT, Field, Truncated
from resnetgen.wire.messages import Messages
from resnetgen.wire.repeated import Repeated, Varints

_GRAPH = 7  # ModelProto
_INITIALIZER = 5  # GraphProto
_DIMS, _DTYPE, _NAME, _LOCATION, _WHERE = 1, 2, 8, 14, 13  # TensorProto
_FLOATS, _INT32S, _INT64S, _RAW, _DOUBLES, _UINT64S = 4, 5, 7, 9, 10, 11  # TensorProto, the values
_EXTERNAL = 1  # TensorProto.DataLocation
_KEY, _VALUE = 1, 2  # StringStringEntryProto

_DTYPES = {
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
"""TensorProto.DataType -> type."""
_VARINTS = {"int64": _INT64S, "uint32": _UINT64S, "uint64": _UINT64S}
"""Field of the values that are not raw. For the types that are not listed, and are not floats, it is int32_data."""
_GROWTH = 8
"""Growth of varints: one byte can become an int64."""
_MAX_PLACES = 8
"""Limit of entries that locate external data; the format defines five."""


class _Tensor(Struct):
    """The fields of a TensorProto that matter."""

    place: Place
    name: str = ""
    number: int = 0
    dims: list[int] = field(default_factory=list)
    raw: Place | None = None
    floats: Repeated = field(default_factory=lambda: Repeated("float32"))
    doubles: Repeated = field(default_factory=lambda: Repeated("float64"))
    varints: dict[int, Varints] = field(default_factory=dict)
    is_external: bool = False
    where: dict[str, str] = field(default_factory=dict)


def is_graph(field: Field) -> bool:
    return field.number == _GRAPH and field.is_delimited


def read(ranges: Ranges) -> Contents:
    """Read the list of initializers of a model. Raises Failure (exit 4) if it is truncated or damaged."""
    reader = _Reader(ranges)
    with ranges.open() as file:
        messages = Messages(ranges, file)
        try:
            for outer in filter(is_graph, messages.fields(0, ranges.size)):
                for inner in messages.fields(outer.start, outer.end):
                    if inner.number == _INITIALIZER and inner.is_delimited:
                        reader.add(_tensor(messages, inner))
        except Truncated as error:
            after = f", behind the initializer {[*entries][-1]!r}" if (entries := reader.contents.entries) else ""
            raise ranges.refuse(f"it is only a part of an ONNX model, or damaged{after}: {error}") from None
    return reader.contents


def _tensor(messages: Messages, tensor: Field) -> _Tensor:
    found = _Tensor((tensor.start, tensor.end))
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
        elif field.number == _WHERE and field.is_delimited:
            key, value = _pair(messages, field)
            found.where[key] = value
        elif field.number == _DTYPE and not field.is_delimited:
            found.number = messages.integers(field)[-1]
        elif field.number == _LOCATION and not field.is_delimited:
            found.is_external = messages.integers(field)[-1] == _EXTERNAL
        if len(found.dims) > MAX_RANK or len(found.where) > _MAX_PLACES:
            raise Truncated(f"the tensor at byte {tensor.start:,} has no sensible shape or place")
    return found


def _pair(messages: Messages, entry: Field) -> tuple[str, str]:
    texts = {f.number: messages.text(f) for f in messages.fields(entry.start, entry.end) if f.is_delimited}
    return texts.get(_KEY, ""), texts.get(_VALUE, "")


class _Reader:
    """Reader that checks tensors against the file that contains their values."""

    def __init__(self, ranges: Ranges) -> None:
        self.contents = Contents(ranges, _GROWTH * ranges.size)
        self._ranges = ranges
        self._beside: dict[str, Ranges] = {}

    def add(self, tensor: _Tensor) -> None:
        dtype = _DTYPES.get(tensor.number)
        if dtype is None:
            raise self._refuse(tensor, f"is of the type {tensor.number} of onnx.proto, which is not read")
        entry = Entry(tensor.name, dtype, tuple(tensor.dims))
        if any(dim < 0 for dim in entry.shape):
            raise self._refuse(tensor, "has no sensible shape")
        forms = [tensor.is_external, tensor.raw, tensor.floats.elements, tensor.doubles.elements, *tensor.varints]
        if sum(map(bool, forms)) > 1:
            raise self._refuse(tensor, "holds its values twice")
        if tensor.is_external:
            self._add_external(entry, tensor)
        elif tensor.raw or not entry.elements:
            self._add_piece(entry, tensor, self._ranges, *(tensor.raw or (0, 0)))
        elif dtype in ("float32", "float64"):
            self._add_repeated(entry, tensor, tensor.floats if dtype == "float32" else tensor.doubles)
        else:
            self._add_varints(entry, tensor, tensor.varints.get(_VARINTS.get(dtype, _INT32S), Varints()))

    def _add_external(self, entry: Entry, tensor: _Tensor) -> None:
        location, offset = tensor.where.get("location", ""), tensor.where.get("offset", "0")
        length = tensor.where.get("length", str(entry.nbytes))
        if not all(number.isdecimal() and number.isascii() and len(number) < 20 for number in (offset, length)):
            raise self._refuse(tensor, "does not say where it lies")
        if location not in self._beside:
            self._beside[location] = Ranges(beside(self._ranges.path, location))
            self.contents.capacity += self._beside[location].size
        start = int(offset)
        self._add_piece(replace(entry, file=location), tensor, self._beside[location], start, start + int(length))

    def _add_piece(self, entry: Entry, tensor: _Tensor, ranges: Ranges, start: int, end: int) -> None:
        if end - start != entry.nbytes:
            raise self._refuse(tensor, f"of {show_shape(entry.shape)} {entry.dtype} holds {end - start:,} bytes")
        if end > ranges.size:
            raise self._refuse(tensor, f"ends beyond {ranges.path.name}, which has {ranges.size:,} bytes")
        load = partial(ranges.array, start, entry.dtype, entry.shape)
        self.contents.add(replace(entry, start=start, end=end), load)

    def _add_repeated(self, entry: Entry, tensor: _Tensor, values: Repeated) -> None:
        if values.elements != entry.elements:
            raise self._refuse(tensor, f"of {show_shape(entry.shape)} holds {values.elements:,} values")
        start, end = values.place()
        self.contents.add(replace(entry, start=start, end=end), partial(values.load, self._ranges, entry.shape))

    def _add_varints(self, entry: Entry, tensor: _Tensor, values: Varints) -> None:
        if not entry.elements <= values.nbytes <= MAX_VARINT * entry.elements:
            raise self._refuse(tensor, f"of {show_shape(entry.shape)} holds its values in {values.nbytes:,} bytes")
        self.contents.add(entry, partial(values.load, self._ranges, entry.dtype, entry.shape))

    def _refuse(self, tensor: _Tensor, what: str) -> Failure:
        return self._ranges.refuse(f"the initializer {tensor.name[:200]!r} {what}", tensor.place)
