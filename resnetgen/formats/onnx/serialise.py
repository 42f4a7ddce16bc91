"""Serialisation of a model in pieces, byte for byte as protobuf would write it, so that weights can be streamed in
between.

Runtimes load one message with its fields in order fastest: ONNX Runtime took a tenth longer for the same model as a
sequence of messages, which a reader merges.
"""

from __future__ import annotations

from google.protobuf.message import Message

from resnetgen.formats.onnx.model.schema import ModelProto, TensorProto
from resnetgen.wire.fields import delimited

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # field numbers of ModelProto, GraphProto and TensorProto


def around(skeleton: ModelProto, streamed: int) -> tuple[bytes, bytes]:
    """Return the bytes before and after the initializers that are streamed into the graph, `streamed` bytes of them."""
    outer = ModelProto()
    outer.CopyFrom(skeleton)
    outer.ClearField("graph")
    model_before, model_after = _split(outer, _GRAPH)
    before, after = _split(skeleton.graph, _INITIALIZER)
    graph = delimited(_GRAPH, len(before) + streamed + len(after))
    return model_before + graph + before, after + model_after


def before_values(head: TensorProto, nbytes: int) -> bytes:
    """Return the bytes before the values of an initializer; `head` has its other fields."""
    tensor = head.SerializeToString(deterministic=True) + delimited(_RAW_DATA, nbytes)
    return delimited(_INITIALIZER, len(tensor) + nbytes) + tensor


def _split(message: Message, last: int) -> tuple[bytes, bytes]:
    """Return the serialised fields with numbers up to `last`, and those above."""
    parts = type(message)(), type(message)()
    for part in parts:
        part.CopyFrom(message)
    for descriptor, _ in message.ListFields():
        parts[descriptor.number <= last].ClearField(descriptor.name)
    before, after = (part.SerializeToString(deterministic=True) for part in parts)
    return before, after
