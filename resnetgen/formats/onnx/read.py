"""Reader of an ONNX file's structure and of a checksum of each weight; the values are never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError
from msgspec import Struct

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.formats.onnx.dtypes import FloatType, of_proto
from resnetgen.formats.onnx.schema import ModelProto, TensorProto
from resnetgen.inputs import open_input, read_failure
from resnetgen.ir.ops import Shape
from resnetgen.weights.external import beside
from resnetgen.weights.sums import Sum, Sums
from resnetgen.wire.fields import Field, Truncated, field_bytes, fields


class Tensor(Struct, frozen=True):
    """A weight of a file, without its values."""

    shape: Shape
    element: FloatType
    checksum: int


class OnnxFile(Struct, frozen=True):
    model: ModelProto
    """The model without the values of its weights."""
    tensors: dict[str, Tensor]


def read_file(path: Path) -> OnnxFile:
    """Return the structure of a model and the checksums of its weights, which are read in pieces.

    Raises Failure: exit 4 for a file that is truncated, not a model, or has a weight of another size than its shape;
    exit 5 if it cannot be read.
    """
    with _opened(path) as (file, end), Sums() as sums:
        return _Reader(path, file, sums).read(end)


def read_skeleton(path: Path) -> ModelProto:
    """Return a model without its initializers, which may be of any type. Raises Failure like `read_file`."""
    with _opened(path) as (file, end):
        return _merged(file, end, lambda model, initializer: None)


MAX_STRUCTURE = 8 << 20
"""Limit in bytes of a model's nodes and constants that are compared with a spec; those of ResNet-152 take 200 KB."""


def read_structure(path: Path, weights: Container[str], most: int) -> ModelProto:
    """Return a model with its nodes, `most` at most, and its constants: initializers other than the `weights`.

    Raises Failure like `read_file`, and exit 6 for more nodes, or more than MAX_STRUCTURE bytes.
    """
    left = MAX_STRUCTURE
    fields_left = _FIELDS * most

    def take(field: Field) -> None:
        nonlocal left, fields_left
        left -= field.end - field.head
        fields_left -= 1
        if fields_left < 0:
            raise fail(Exit.LIMIT, Code.LIMIT, f"{path}: it has far more than {most:,} nodes and tensors")
        if left < 0:
            what = f"{path}: its nodes and constants take more than {MAX_STRUCTURE:,} bytes"
            raise fail(Exit.LIMIT, Code.LIMIT, what)

    def constant(model: ModelProto, field: Field) -> None:
        if not any(_text(file, inner) in weights for inner in _of_number(file, field, "name")):
            take(field)
            file.seek(field.start)
            model.graph.initializer.append(TensorProto.FromString(file.read(field.end - field.start)))

    with _opened(path) as (file, end):
        model = _merged(file, end, constant, take)
    if len(model.graph.node) > most:
        raise fail(Exit.LIMIT, Code.LIMIT, f"{path}: it has more than {most:,} nodes")
    return model


_FIELDS = 8
"""Limit of fields of a graph per node: its tensors have types and constants besides."""


def _of_number(file: BinaryIO, tensor: Field, name: str) -> Iterator[Field]:
    number = TensorProto.DESCRIPTOR.fields_by_name[name].number
    return (one for one in fields(file, tensor.start, tensor.end) if one.number == number and one.is_delimited)


def _text(file: BinaryIO, field: Field) -> str:
    file.seek(field.start)
    return file.read(min(field.end - field.start, _MAX_NAME)).decode("utf-8", "replace")


_MAX_NAME = 4096
"""Limit in bytes of a name that is read; no weight has a longer one."""


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a file with its length; errors inside the block become Failures."""
    try:
        with open_input(path) as file:
            yield file, file.seek(0, 2)
    except (Truncated, DecodeError) as error:
        raise _bad(path, f"it is no ONNX model, or only a part of one: {error}") from None
    except OSError as error:
        raise read_failure(str(path), error) from None


def _bad(path: Path, what: str) -> Failure:
    return fail(Exit.MODEL, Code.BAD_MODEL, f"{path}: {what}")


def _merged(
    file: BinaryIO,
    end: int,
    initializer: Callable[[ModelProto, Field], None],
    take: Callable[[Field], None] = lambda field: None,
) -> ModelProto:
    """Return a model without its initializers, merged if it is in fragments.

    `initializer` is called with each initializer, `take` with each other field before it is read.
    """
    model = ModelProto()
    graph_field = ModelProto.DESCRIPTOR.fields_by_name["graph"].number
    initializer_field = model.graph.DESCRIPTOR.fields_by_name["initializer"].number
    for field in fields(file, 0, end):
        if field.number != graph_field or not field.is_delimited:
            take(field)
            model.MergeFromString(field_bytes(file, field))
            continue
        for inner in fields(file, field.start, field.end):
            if inner.number == initializer_field and inner.is_delimited:
                initializer(model, inner)
            else:
                take(inner)
                model.graph.MergeFromString(field_bytes(file, inner))
    return model


class _Reader:
    def __init__(self, path: Path, file: BinaryIO, sums: Sums) -> None:
        self.path = path
        self.file = file
        self.sums = sums
        self.tensors: dict[str, tuple[Shape, FloatType, Sum]] = {}

    def read(self, end: int) -> OnnxFile:
        model = _merged(self.file, end, self._initializer)
        held = {name: Tensor(shape, element, check()) for name, (shape, element, check) in self.tensors.items()}
        return OnnxFile(model, held)

    def _initializer(self, model: ModelProto, field: Field) -> None:
        head = TensorProto()
        raw: Field | None = None
        for inner in fields(self.file, field.start, field.end):
            if inner.number == TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number and inner.is_delimited:
                raw = inner
            else:
                head.MergeFromString(field_bytes(self.file, inner))
        element = of_proto(head.data_type)
        if element is None or head.float_data or head.int32_data:  # a constant, not a weight
            model.graph.initializer.append(head)
            return
        if head.name in self.tensors:
            raise _bad(self.path, f"two weights are called {head.name}")
        size = element.dtype.itemsize * prod(head.dims)
        self.tensors[head.name] = (tuple(head.dims), element, self._checksum(head, raw, size))

    def _checksum(self, head: TensorProto, raw: Field | None, size: int) -> Sum:
        if head.data_location == TensorProto.EXTERNAL:
            # protobuf returns bytes for a text that is not UTF-8.
            place = {str(entry.key): str(entry.value) for entry in head.external_data}
            if not all(place.get(key, "").isdecimal() for key in ("offset", "length")):
                raise _bad(self.path, f"the weight {head.name} does not say where it lies")
            data = beside(self.path, place.get("location", ""))
            return self._sum(data, head.name, int(place["offset"]), int(place["length"]), size)
        if raw is None:
            raise _bad(self.path, f"the weight {head.name} has no raw data")
        return self._sum(self.path, head.name, raw.start, raw.end - raw.start, size)

    def _sum(self, path: Path, name: str, start: int, length: int, size: int) -> Sum:
        if length != size:
            raise _bad(self.path, f"the weight {name} holds {length} bytes instead of {size}")
        if start + length > path.stat().st_size:
            raise _bad(self.path, f"the weight {name} is cut short")
        return self.sums.begin(path, start, start + length)
