"""Caffe's messages as protobuf classes, from the network descriptor of caffe.proto."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from resnetgen.errors import Code, Exit, fail


@cache
def _messages() -> dict[str, Any]:
    # A separate pool: another package in the process may have registered messages called caffe.*
    pool = descriptor_pool.DescriptorPool()
    data = Path(__file__).with_name("caffe.binpb").read_bytes()
    files = descriptor_pb2.FileDescriptorSet.FromString(data).file
    for file in files:
        pool.Add(file)
    return message_factory.GetMessageClassesForFiles([file.name for file in files], pool)


def message(name: str) -> Any:
    """Return the class of a message, such as NetParameter."""
    return _messages()[f"caffe.{name}"]


def parse_prototxt(text: str, shown: str) -> Any:
    """Return the NetParameter of a prototxt. Raises Failure (exit 4), with the line, for text that the schema does not
    allow."""
    try:
        return text_format.Parse(text, message("NetParameter")())
    except (text_format.ParseError, SystemError) as error:  # protobuf raises SystemError for a word that is not UTF-8
        raise fail(Exit.MODEL, Code.PROTOTXT_SYNTAX, f"{shown}: {error}") from None


PARAM_FIELDS = {
    "BatchNorm": "batch_norm_param",
    "Clip": "clip_param",
    "Concat": "concat_param",
    "Convolution": "convolution_param",
    "Crop": "crop_param",
    "Dropout": "dropout_param",
    "Eltwise": "eltwise_param",
    "InnerProduct": "inner_product_param",
    "LRN": "lrn_param",
    "MVN": "mvn_param",
    "Pooling": "pooling_param",
    "Power": "power_param",
    "ReLU": "relu_param",
    "Reshape": "reshape_param",
    "Scale": "scale_param",
    "Slice": "slice_param",
}
"""Layer type -> the field of its parameters, for the types that resnetgen writes."""
