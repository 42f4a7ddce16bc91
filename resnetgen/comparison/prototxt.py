"""A prototxt as a net to be compared."""

from __future__ import annotations

from pathlib import Path

from resnetgen.comparison.net import Net, Record
from resnetgen.errors import Source
from resnetgen.formats.caffe.model import read
from resnetgen.formats.caffe.model.layers import CaffeStructure, Layer

_RATIO = "dropout_param.dropout_ratio"


def load(path: Path) -> Net:
    """Load a prototxt. Raises Failure: exit 4 if it is invalid or Caffe cannot run it, 5 if it is missing, 6 if it is
    too large."""
    return of_model(read.load(path))


def parse(written: str, name: str = "prototxt") -> Net:
    """Return the net of a text; `name` is its name in differences and errors. Raises Failure like load."""
    return of_model(read.parse(Source(name, written)))


def of_model(model: CaffeStructure) -> Net:
    records = tuple(map(_record, model.layers))
    return Net(model.source, model.name, records, model.attributes, model.span, model.places)


def _record(layer: Layer) -> Record:
    others = [path for path in layer.attributes if path.startswith("dropout_param.") and path != _RATIO]
    # Caffe's Dropout copies its bottom in the phase TEST; a foreign field may change that, and then the ratio counts.
    skipped = () if others else (_RATIO,)
    return Record(
        layer.name,
        layer.type,
        {path: value for path, value in layer.attributes.items() if path not in skipped},
        layer.inputs,
        layer.span,
        layer.places,
        len(layer.tops),
        commutative=layer.type == "Eltwise" and "eltwise_param.coeff" not in layer.attributes,
        shared=layer.shared,
    )
