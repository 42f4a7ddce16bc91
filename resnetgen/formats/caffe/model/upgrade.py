"""Layers of the layout of 2014 (V1, `layers { type: RELU }`) as layers of today's layout."""

from __future__ import annotations

from itertools import zip_longest

from resnetgen.errors import Code, ModelError, did_you_mean
from resnetgen.escape import escape
from resnetgen.formats.caffe.model.field_values import typed
from resnetgen.formats.caffe.model.schema import known_fields
from resnetgen.formats.caffe.model.text import Kind, Message, TextField, TextScalar

_NAMES = (
    *("AbsVal", "Accuracy", "ArgMax", "BNLL", "Concat", "ContrastiveLoss", "Convolution", "Data", "Deconvolution"),
    *("Dropout", "DummyData", "Eltwise", "EuclideanLoss", "Exp", "Flatten", "HDF5Data", "HDF5Output", "HingeLoss"),
    *("Im2col", "ImageData", "InfogainLoss", "InnerProduct", "LRN", "MVN", "MemoryData", "MultinomialLogisticLoss"),
    *("Pooling", "Power", "ReLU", "Sigmoid", "SigmoidCrossEntropyLoss", "Silence", "Slice", "Softmax", "Split"),
    *("TanH", "Threshold", "WindowData"),
)


def name_of_today(word: str) -> str:
    """Return the name of a V1 layer's type as it is written today, `InnerProduct` for INNER_PRODUCT; empty for an
    unknown one."""
    plain = word.replace("_", "").lower()
    return "SoftmaxWithLoss" if word == "SOFTMAX_LOSS" else {name.lower(): name for name in _NAMES}.get(plain, "")


_PARAMETERS = {"param": "name", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}
"""List of a V1 layer, with one element for each blob -> field of today's `param`."""


def upgraded(layer: TextField) -> TextField:
    """Return a V1 layer as a `layer`. Raises ModelError for a layer of 2013, and for an unknown type."""
    if not isinstance(layer.value, Message):
        raise ModelError.of(Code.BAD_MODEL, "layers takes a message", layer.span)
    fields: list[TextField] = []
    for field in layer.value.fields:
        match field.name:
            case "layer":
                hint = "Caffe's upgrade_net_proto_text and upgrade_net_proto_binary convert it"
                raise ModelError.of(Code.UNSUPPORTED, "a layer of Caffe's layout of 2013", field.span, hint)
            case "type":
                fields.append(TextField("type", TextScalar(Kind.STRING, type_of(field)), field.span))
            case "param" | "blobs_lr" | "weight_decay" | "blob_share_mode":
                pass
            case _:
                fields.append(field)
    return TextField("layer", Message((*fields, *_params(layer.value.fields))), layer.span)


def type_of(field: TextField) -> str:
    """Return the type of a V1 layer as it is called today. Raises ModelError for an unknown one."""
    known = known_fields("V1LayerParameter")["type"]
    name, words = str(getattr(typed(field, known), "text", "")), known.words
    if today := name_of_today(name):
        return today
    message = f"no type of a V1 layer is called {escape(name, 200)}"
    raise ModelError.of(Code.UNSUPPORTED, message, field.span, did_you_mean(name.upper(), words.values()))


def _params(fields: tuple[TextField, ...]) -> list[TextField]:
    """Return the `param` of each blob."""
    lists = [
        [TextField(today, field.value, field.span) for field in fields if field.name == old]
        for old, today in _PARAMETERS.items()
    ]
    rows = [tuple(filter(None, row)) for row in zip_longest(*lists)]
    return [TextField("param", Message(row), row[0].span) for row in rows]
