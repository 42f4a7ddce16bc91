"""Layers of the layout of 2014 (V1, `layers { type: RELU }`) as layers of today's layout."""

from __future__ import annotations

from itertools import zip_longest

from resnetgen.errors import Code, Exit, Failure, did_you_mean, fail
from resnetgen.formats.caffe.model.fields import typed
from resnetgen.formats.caffe.model.schema import known_fields
from resnetgen.formats.caffe.model.text import Field, Kind, Message, Scalar

TYPES = {
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
"""Type of a V1 layer -> its type today."""
_PARAMETERS = {"param": "name", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}
"""List of a V1 layer, with one element for each blob -> field of today's `param`."""


def upgraded(layer: Field) -> Field:
    """Return a V1 layer as a `layer`. Raises Failure (exit 4) for a layer of 2013, and for an unknown type."""
    if not isinstance(layer.value, Message):
        raise fail(Exit.MODEL, Code.BAD_MODEL, "layers takes a message", layer.span)
    fields: list[Field] = []
    for field in layer.value.fields:
        match field.name:
            case "layer":
                hint = "Caffe's upgrade_net_proto_text and upgrade_net_proto_binary convert it"
                raise fail(Exit.MODEL, Code.UNSUPPORTED, "a layer of Caffe's layout of 2013", field.span, hint)
            case "type":
                fields.append(Field("type", Scalar(Kind.STRING, type_of(field)), field.span))
            case "param" | "blobs_lr" | "weight_decay" | "blob_share_mode":
                pass
            case _:
                fields.append(field)
    return Field("layer", Message((*fields, *_params(layer.value.fields))), layer.span)


def type_of(field: Field) -> str:
    """Return the type of a V1 layer as it is called today. Raises Failure (exit 4) for an unknown one."""
    name = str(getattr(typed(field, known_fields("V1LayerParameter")["type"]), "text", ""))
    if name not in TYPES:
        raise _unknown(name, field)
    return TYPES[name]


def _unknown(name: str, field: Field) -> Failure:
    message, hint = f"no type of a V1 layer is called {name[:200]}", did_you_mean(name, TYPES)
    return fail(Exit.MODEL, Code.UNSUPPORTED, message, field.span, hint)


def _params(fields: tuple[Field, ...]) -> list[Field]:
    """Return the `param` of each blob."""
    lists = [
        [Field(today, field.value, field.span) for field in fields if field.name == old]
        for old, today in _PARAMETERS.items()
    ]
    rows = [tuple(filter(None, row)) for row in zip_longest(*lists)]
    return [Field("param", Message(row), row[0].span) for row in rows]
