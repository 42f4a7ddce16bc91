"""Streaming reader of caffemodels: the layers as they stand in the file; blobs are located and not loaded.

A layer is one of today's layout (`layer`) or of that of 2014 (`layers`). All field numbers are those of the schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from google.protobuf.message import DecodeError

from resnetgen.errors import Code, Failure, LimitError, ModelError, Source, Span
from resnetgen.formats.caffe.model.field_values import fields_of
from resnetgen.formats.caffe.model.schema import known_fields, message, number
from resnetgen.formats.caffe.model.text import TextField as TextField
from resnetgen.formats.caffe.model.upgrade import name_of_today, upgraded
from resnetgen.wire.access import Ranges
from resnetgen.wire.dtypes import MAX_RANK, show_shape
from resnetgen.wire.fields import Field, Truncated
from resnetgen.wire.messages import Messages
from resnetgen.wire.repeated import Repeated

MAX_HEADS = 8 << 20
"""Limit in bytes of all layers without their blobs; those of ResNet-152 take 90 KB."""
_MAX_BLOBS = 16
"""Limit per layer; the most that a layer type of Caffe has is 4 (LSTM)."""


class _Numbers(NamedTuple):
    """Field numbers of a layer's message."""

    name: int
    type: int
    blobs: int


@cache
def _numbers(layout: str) -> _Numbers:
    return _Numbers(*(number(layout, field) for field in _Numbers._fields))


class StoredLayer(NamedTuple):
    field: Field
    """The layer in the file."""
    layout: str
    """Message that it is: LayerParameter, or V1LayerParameter of 2014."""
    rest: tuple[Field, ...]
    """All fields but the blobs."""
    blobs: tuple[Field, ...]


class StoredBlob(NamedTuple):
    shape: tuple[int, ...]
    values: Repeated
    numbers: tuple[int, ...]
    """Numbers of its fields, in their order."""

    @property
    def is_plain(self) -> bool:
        """True if the blob is a shape and one packed list of floats, as Caffe writes them, and nothing else."""
        return sorted(self.numbers) == [number("BlobProto", name) for name in ("data", "shape")] and (
            self.values.dtype == "float32" and bool(self.values.place()[1])
        )


def is_layer(field: Field) -> bool:
    """Return True for a layer among the fields of a file; only a caffemodel has this field number."""
    return field.is_delimited and field.number == number("NetParameter", "layer")


def is_old_layer(field: Field) -> bool:
    """Return True for a layer of 2014; other formats have this field number as well."""
    return field.is_delimited and field.number == number("NetParameter", "layers")


class Caffemodel:
    """Layers of an open file. All methods raise Truncated for a damaged file, and ModelError for an invalid
    blob."""

    def __init__(self, ranges: Ranges, file: BinaryIO) -> None:
        self.ranges = ranges
        self._messages = Messages(ranges, file)
        self.rest: list[Field] = []
        """Fields of the net itself that have been passed."""

    def layers(self) -> Iterator[StoredLayer]:
        for field in self._messages.fields(0, self.ranges.size):
            if is_layer(field) or is_old_layer(field):
                yield self._layer(field, "LayerParameter" if is_layer(field) else "V1LayerParameter")
            else:
                self.rest.append(field)

    def _layer(self, layer: Field, layout: str) -> StoredLayer:
        rest: list[Field] = []
        blobs: list[Field] = []
        for field in self._messages.fields(layer.start, layer.end):
            if field.number != _numbers(layout).blobs or not field.is_delimited:
                rest.append(field)
            elif len(blobs) == _MAX_BLOBS:
                raise Truncated(f"a layer of more than {_MAX_BLOBS} blobs at byte {layer.start:,}")
            else:
                blobs.append(field)
        return StoredLayer(layer, layout, tuple(rest), tuple(blobs))

    def parsed(self, name: str, fields: Iterable[Field]) -> Any:
        """Return a message with these fields alone. Raises DecodeError for fields that the schema cannot read."""
        made = message(name)()
        for field in fields:
            made.MergeFromString(self._messages.read(field.head, field.end - field.head))
        return made

    def name_and_type(self, layer: StoredLayer) -> tuple[str, str]:
        """Return a layer's name and its type as it is called today, without reading its other fields."""
        name = kind = ""
        for field in layer.rest:
            if layer.layout == "V1LayerParameter" and field.number == number(layer.layout, "layer"):
                hint = "Caffe's upgrade_net_proto_binary makes a caffemodel of it that is read"
                raise self.ranges.refuse("it is a caffemodel of 2013", (layer.field.start, layer.field.end), hint)
            if field.number == _numbers(layer.layout).name and field.is_delimited:
                name = self._messages.text(field)
            elif field.number == _numbers(layer.layout).type:
                kind = self._messages.text(field) if field.is_delimited else self._old_type(field)
        return name, kind

    def _old_type(self, field: Field) -> str:
        value = self._messages.integers(field)[-1]
        return name_of_today(known_fields("V1LayerParameter")["type"].words.get(value, "")) or f"V1 type {value}"

    def blob(self, blob: Field, name: str) -> StoredBlob:
        """Locate the values of a blob; `name` is its name in an error."""
        messages, numbers = self._messages, []
        legacy: dict[int, int] = {}
        dims: list[int] = []
        floats, doubles = Repeated("float32"), Repeated("float64")
        of = {field: number("BlobProto", field) for field in ("data", "double_data", "shape", *_LEGACY_SHAPE)}
        at = blob.start
        while at < blob.end:
            field = next(messages.fields(at, blob.end))
            numbers.append(field.number)
            at = field.end
            if field.number == of["data"]:
                at = floats.add(messages, field, blob.end)
            elif field.number == of["double_data"]:
                at = doubles.add(messages, field, blob.end)
            elif field.number in [of[side] for side in _LEGACY_SHAPE] and not field.is_delimited:
                legacy[field.number] = messages.integers(field)[-1]
            elif field.number == of["shape"] and field.is_delimited:
                dims += self._dims(field)
        # Caffe itself uses `shape` only if none of the four legacy fields is set.
        shape = tuple(legacy.get(of[side], 0) for side in _LEGACY_SHAPE) if legacy else tuple(dims)
        values = doubles if doubles.elements else floats
        if (floats.elements and doubles.elements) or len(shape) > MAX_RANK or prod(shape) != values.elements:
            what = f"the blob {name[:200]!r} of {show_shape(shape)} holds {floats.elements + doubles.elements:,} values"
            raise self.ranges.refuse(what, (blob.start, blob.end))
        return StoredBlob(shape, values, tuple(numbers))

    def _dims(self, shape: Field) -> list[int]:
        dims: list[int] = []
        for field in self._messages.fields(shape.start, shape.end):
            if field.number == number("BlobShape", "dim"):
                dims += self._messages.integers(field)
            if len(dims) > MAX_RANK:
                raise Truncated(f"the shape at byte {shape.start:,} has more than {MAX_RANK} axes")
        return dims


_LEGACY_SHAPE = ("num", "channels", "height", "width")


def read_layers(path: Path, most: int) -> tuple[TextField, ...]:
    """Return the layers of a caffemodel without their blobs, as fields of a prototxt: `most` layers at most.

    Raises Failure: exit 4 for layers that the schema cannot read; exit 5 if the file cannot be read; exit 6 for more
    layers, or more than MAX_HEADS bytes.
    """
    layers: list[TextField] = []
    left, span = MAX_HEADS, Span(Source(str(path), ""), 0, 0)
    ranges = Ranges(path)
    try:
        with ranges.open() as file:
            reader = Caffemodel(ranges, file)
            for layer in reader.layers():
                left -= sum(field.end - field.head for field in layer.rest)
                if left < 0:
                    what = f"{path}: its layers take more than {MAX_HEADS:,} bytes without their blobs"
                    raise LimitError.of(Code.LIMIT, what)
                if len(layers) == most:
                    raise LimitError.of(Code.LIMIT, f"{path}: it has more than {most:,} layers")
                name = "layer" if layer.layout == "LayerParameter" else "layers"
                net = message("NetParameter")()
                getattr(net, name).append(reader.parsed(layer.layout, layer.rest))
                (field,) = fields_of(net, span)
                layers.append(field if name == "layer" else upgraded(field))
    except (DecodeError, Truncated) as error:
        raise _bad(path, f"a layer cannot be read: {error}") from None
    return tuple(layers)


def _bad(path: Path, what: str) -> Failure:
    return ModelError.of(Code.BAD_MODEL, f"{path}: {what}")
