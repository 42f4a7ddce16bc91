"""A model as the bytes that protobuf itself would write, in pieces: so its weights can be streamed into their place.

One message with its fields in order is what a runtime loads fastest: the same model as a sequence of messages, which a
reader merges, took ONNX Runtime a tenth longer.
"""

from __future__ import annotations

from google.protobuf.message import Message

from resnetgen.targets.onnx.schema import ModelProto, TensorProto
from resnetgen.weights.wire import delimited

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers of ModelProto, GraphProto and TensorProto


def around(skeleton: ModelProto, streamed: int) -> tuple[bytes, bytes]:
    """What stands before the initializers that are streamed into the graph, `streamed` bytes of it, and after them."""
    outer = ModelProto()
    outer.CopyFrom(skeleton)
    outer.ClearField("graph")
    model_before, model_after = _split(outer, _GRAPH)
    before, after = _split(skeleton.graph, _INITIALIZER)
    graph = delimited(_GRAPH, len(before) + streamed + len(after))
    return model_before + graph + before, after + model_after


def before_values(head: TensorProto, nbytes: int) -> bytes:
    """What stands before the values of an initializer: `head` is the rest of it."""
    tensor = head.SerializeToString(deterministic=True) + delimited(_RAW_DATA, nbytes)
    return delimited(_INITIALIZER, len(tensor) + nbytes) + tensor


def _split(message: Message, last: int) -> tuple[bytes, bytes]:
    """The fields of a number up to `last`, and those beyond it."""
    parts = type(message)(), type(message)()
    for part in parts:
        part.CopyFrom(message)
    for descriptor, _ in message.ListFields():
        parts[descriptor.number <= last].ClearField(descriptor.name)
    before, after = (part.SerializeToString(deterministic=True) for part in parts)
    return before, after
