"""Tensors of a caffemodel.

A blob's tensor is called `<layer>.<index>`. A BatchNorm stores [mean * f, variance * f, f]; its tensors `.0` and `.1`
are the mean and the variance themselves.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from msgspec.structs import replace

from resnetgen.formats.caffe.model.caffemodel import Caffemodel, StoredLayer
from resnetgen.weights.checkpoint.contents import Contents, TensorInfo
from resnetgen.wire.access import Ranges
from resnetgen.wire.dtypes import Values
from resnetgen.wire.fields import Truncated

BATCH_NORM = "BatchNorm"


def read(ranges: Ranges) -> Contents:
    """Read the list of tensors of a caffemodel. Raises ModelError if it is truncated or damaged."""
    contents = Contents(ranges, ranges.size)
    with ranges.open() as file:
        reader = Caffemodel(ranges, file)
        try:
            for layer in reader.layers():
                _add(contents, reader, layer)
        except Truncated as error:
            after = f", after the layer {[*contents.layers][-1]!r}" if contents.layers else ""
            raise ranges.refuse(f"a truncated or damaged caffemodel{after}: {error}") from None
    return contents


def _add(contents: Contents, reader: Caffemodel, layer: StoredLayer) -> None:
    place = (layer.field.start, layer.field.end)
    name, kind = reader.name_and_type(layer)
    blobs = [reader.blob(blob, f"{name}.{index}") for index, blob in enumerate(layer.blobs)]
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
        entry = TensorInfo(f"{name}.{index}", blob.values.dtype, blob.shape)
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
