"""Reader of the initializers of an ONNX model, with values in the model or in a file next to it."""

from __future__ import annotations

from resnetgen.formats.onnx.model.tensors import TensorReader, is_graph, read_tensors
from resnetgen.weights.checkpoint.contents import Contents, TensorInfo
from resnetgen.wire.access import Ranges

__all__ = ["is_graph", "read"]

_GROWTH = 8
"""Growth of varints: one byte can become an int64."""


def read(ranges: Ranges) -> Contents:
    """Read the list of tensors of a model. Raises ModelError if it is truncated or damaged."""
    reader = TensorReader(ranges)
    contents = Contents(ranges, 0)
    for tensor in read_tensors(reader):
        contents.capacity = _GROWTH * ranges.size + sum(one.size for one in reader.beside.values())
        if not tensor.dtype:
            tensor.load()  # raises Failure: its type is not read
        place = (tensor.start, tensor.end, tensor.file)
        contents.add(TensorInfo(tensor.name, tensor.dtype, tensor.shape, *place), tensor.load)
    return contents
