"""Reader of caffemodels: a NetParameter whose layers hold blobs, in today's layout or in that of 2014 (`layers`).

A blob's tensor is called `<layer>.<index>`. A BatchNorm stores [mean * f, variance * f, f]; its tensors `.0` and `.1`
are the mean and the variance themselves. Field numbers are those of caffe.proto.
"""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from resnetgen.weights.checkpoint.entry import MAX_RANK, Contents, Entry, shown
from resnetgen.wire.access import Ranges
from resnetgen.wire.dtypes import Values
from resnetgen.wire.fields import Field, Truncated
from resnetgen.wire.messages import Messages
from resnetgen.wire.repeated import Repeated

_LAYER, _V1_LAYER = 100, 2  # NetParameter
_NAME, _TYPE, _BLOBS = 1, 2, 7  # LayerParameter
_V0, _V1_NAME, _V1_TYPE, _V1_BLOBS = 1, 4, 5, 6  # V1LayerParameter
_LEGACY_SHAPE, _DATA, _SHAPE, _DOUBLES = (1, 2, 3, 4), 5, 7, 8  # BlobProto; the others are gradients
_DIM = 1  # BlobShape

_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
"""Types of V1LayerParameter that hold blobs, by their names in today's layout."""
BATCH_NORM = "BatchNorm"
_MAX_BLOBS = 16
"""Limit per layer; the most that a layer type of Caffe has is 4 (LSTM)."""


class _Blob(Struct, frozen=True):
    shape: tuple[int, ...]
    values: Repeated


def is_layer(field: Field) -> bool:
    return field.number == _LAYER and field.is_delimited


def is_old_layer(field: Field) -> bool:
    """Return True for a layer of the layout of 2014. The test holds in caffemodels only."""
    return field.number == _V1_LAYER and field.is_delimited


def read(ranges: Ranges) -> Contents:
    """Read the list of tensors of a caffemodel. Raises Failure (exit 4) if it is truncated or damaged."""
    contents = Contents(ranges, ranges.size)
    with ranges.open() as file:
        messages = Messages(ranges, file)
        try:
            for field in messages.fields(0, ranges.size):
                if is_layer(field) or is_old_layer(field):
                    _add(contents, messages, field)
        except Truncated as error:
            after = f", behind the layer {[*contents.layers][-1]!r}" if contents.layers else ""
            raise ranges.refuse(f"it is only a part of a caffemodel, or damaged{after}: {error}") from None
    return contents


def _add(contents: Contents, messages: Messages, field: Field) -> None:
    place = (field.start, field.end)
    name, kind, blobs = _layer(messages, field)
    if not blobs:
        return
    if name in contents.layers:
        raise contents.ranges.refuse(f"two layers with blobs are called {name[:200]!r}", place)
    contents.layers[name] = kind
    ranges = contents.ranges
    factor = None
    if kind == BATCH_NORM:
        if len(blobs) != 3 or blobs[2].values.elements != 1:
            what = f"the BatchNorm {name[:200]!r} does not have the three blobs mean, variance and their factor"
            raise ranges.refuse(what, place)
        factor = blobs.pop().values.load(ranges, ())
    for index, blob in enumerate(blobs):
        entry = Entry(f"{name}.{index}", blob.values.dtype, blob.shape)
        load = partial(blob.values.load, ranges, blob.shape)
        if factor is None or factor == 1:
            start, end = blob.values.place()
            contents.add(replace(entry, start=start, end=end), load)
        else:
            contents.add(entry, partial(_divided, load, factor))


def _divided(load: partial[Values], factor: Values) -> Values:
    """Load statistics and divide them by their factor as Caffe does: multiplied by the reciprocal; zeros if the factor
    is 0."""
    values = load()
    if factor == 0:
        values.fill(0)
        return values
    with np.errstate(all="ignore"):  # the caller checks for values that are not finite
        values *= 1 / factor
    return values


def _layer(messages: Messages, layer: Field) -> tuple[str, str, list[_Blob]]:
    """Return a layer's name, type and blobs."""
    is_old = is_old_layer(layer)
    name = kind = ""
    blobs: list[Field] = []
    for field in messages.fields(layer.start, layer.end):
        if is_old and field.number == _V0 and field.is_delimited:
            hint = "Caffe's upgrade_net_proto_binary makes a caffemodel of it that is read"
            raise messages.ranges.refuse("it is a caffemodel of 2013", (layer.start, layer.end), hint)
        if field.number == (_V1_NAME if is_old else _NAME) and field.is_delimited:
            name = messages.text(field)
        elif is_old and field.number == _V1_TYPE and not field.is_delimited:
            number = messages.integers(field)[-1]
            kind = _V1_TYPES.get(number, f"V1 type {number}")
        elif not is_old and field.number == _TYPE and field.is_delimited:
            kind = messages.text(field)
        elif field.number == (_V1_BLOBS if is_old else _BLOBS) and field.is_delimited:
            if len(blobs) == _MAX_BLOBS:
                raise Truncated(f"a layer of more than {_MAX_BLOBS} blobs at byte {layer.start:,}")
            blobs.append(field)
    return name, kind, [_blob(messages, f"{name}.{index}", blob) for index, blob in enumerate(blobs)]


def _blob(messages: Messages, name: str, blob: Field) -> _Blob:
    legacy: dict[int, int] = {}
    dims: list[int] = []
    floats, doubles = Repeated("float32"), Repeated("float64")
    at = blob.start
    while at < blob.end:
        field = next(messages.fields(at, blob.end))
        at = field.end
        if field.number == _DATA:
            at = floats.add(messages, field, blob.end)
        elif field.number == _DOUBLES:
            at = doubles.add(messages, field, blob.end)
        elif field.number in _LEGACY_SHAPE and not field.is_delimited:
            legacy[field.number] = messages.integers(field)[-1]
        elif field.number == _SHAPE and field.is_delimited:
            dims += _dims(messages, field)
    # Caffe itself uses `shape` only if none of the four legacy fields is set.
    shape = tuple(legacy.get(number, 0) for number in _LEGACY_SHAPE) if legacy else tuple(dims)
    values = doubles if doubles.elements else floats
    if (floats.elements and doubles.elements) or len(shape) > MAX_RANK or prod(shape) != values.elements:
        what = f"the blob {name[:200]!r} of {shown(shape)} holds {floats.elements + doubles.elements:,} values"
        raise messages.ranges.refuse(what, (blob.start, blob.end))
    return _Blob(shape, values)


def _dims(messages: Messages, shape: Field) -> list[int]:
    dims: list[int] = []
    for field in messages.fields(shape.start, shape.end):
        if field.number == _DIM:
            dims += messages.integers(field)
        if len(dims) > MAX_RANK:
            raise Truncated(f"the shape at byte {shape.start:,} has more than {MAX_RANK} axes")
    return dims
