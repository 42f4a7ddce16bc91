"""verify finds an op that is translated wrongly: each op, to each format, broken as a programmer might.

The files are self-consistent, and no reader sees them: only the reference knows what the op computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from msgspec.structs import replace

from resnetgen.backends.onnxruntime import Device
from resnetgen.errors import Failure
from resnetgen.formats.caffe import lower as caffe_lower
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.lower_ops import Enum, FixedBlob, Layers, WeightBlob
from resnetgen.formats.onnx import lower as onnx_lower
from resnetgen.formats.onnx.lower_ops import ConstantInput, NodePlan, Tensor
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import VOCABULARY, Add, Concat, Conv, Input, Mul, Relu6, Shape
from resnetgen.preprocess import Color, Interpolation, Preprocess
from resnetgen.verification import Expected, Report, Settings, caffe, compare_backends
from resnetgen.verification.backends import CaffeBackend, OnnxBackend, ReferenceBackend
from resnetgen.weights.source import Array
from support.helpers import cells, graph, random_weights, write_caffe, write_onnx

SIZE = "4x12x12"
TWO = {"a": (Conv((3, 3), 4), "data"), "b": (Conv((1, 1), 4), "data")}
GRAPHS: dict[str, Graph] = {
    "relu6": graph((3, 8, 7), a=(Add(), "data", "data", "data", "data"), b=(Relu6(), "a")),
    "add": graph((3, 8, 7), **TWO, c=(Add(), "a", "b")),
    "mul": graph((3, 8, 7), **TWO, c=(Mul(), "a", "b")),
    "concat": graph((3, 8, 7), **TWO, c=(Concat(), "a", "b")),
}
ROWS = {
    "conv": "conv 3x3, 6",
    "channelconv": "gap | channelconv kernel=3",
    "batchnorm": "batchnorm",
    "groupnorm": "groupnorm 2",
    "lrn": "lrn size=5, alpha=1",
    "relu": "relu",
    "leakyrelu": "leakyrelu 0.1",
    "silu": "silu",
    "mish": "mish",
    "gelu": "gelu",
    "sigmoid": "sigmoid",
    "dropout": "dropout 0.5",
    "maxpool": "maxpool 3x3, /2, ceil",
    "avgpool": "avgpool 3x3, p=1",
    "gap": "gap",
    "blurpool": "blurpool",
    "channelpad": "channelpad 9, both",
    "flatten": "flatten",
    "fc": "gap | fc 4",
    "softmax": "softmax",
}


def net(op: str) -> Graph:
    """A network that ends in the op."""
    return GRAPHS[op] if op in GRAPHS else cells(ROWS[op], SIZE)


# ONNX

OnnxFault: TypeAlias = Callable[[list[NodePlan]], list[NodePlan]]


def attributes(at: int = -1, **values: Any) -> OnnxFault:
    def fault(nodes: list[NodePlan]) -> list[NodePlan]:
        nodes[at] = replace(nodes[at], attributes=nodes[at].attributes | values)
        return nodes

    return fault


def other_type(name: str, at: int = -1) -> OnnxFault:
    def fault(nodes: list[NodePlan]) -> list[NodePlan]:
        nodes[at] = replace(nodes[at], type=name, attributes={})
        return nodes

    return fault


def inputs(change: Callable[[list[Tensor]], list[Tensor]]) -> OnnxFault:
    """A fault in the inputs of the last node."""
    return lambda nodes: [*nodes[:-1], replace(nodes[-1], inputs=change(nodes[-1].inputs))]


def zeros_at_the_other_end(tensors: list[Tensor]) -> list[Tensor]:
    pads = tensors[1]
    assert isinstance(pads, ConstantInput)
    return [tensors[0], ConstantInput(pads.label, np.roll(pads.values, len(pads.values) // 2))]


def channels_last(nodes: list[NodePlan]) -> list[NodePlan]:
    first = nodes[0]
    turned = f"{first.output}/turned"
    return [NodePlan("Transpose", first.inputs, turned, {"perm": [0, 2, 3, 1]}), replace(first, inputs=[turned])]


ONNX: dict[str, OnnxFault] = {
    "conv": attributes(pads=[0, 0, 2, 2]),
    "channelconv": attributes(1, pads=[0, 2]),
    "batchnorm": attributes(epsilon=0.01),
    "groupnorm": attributes(1, epsilon=0.01),
    "lrn": attributes(size=3),
    "relu": other_type("LeakyRelu"),
    "leakyrelu": attributes(alpha=0.01),
    "relu6": lambda nodes: [replace(nodes[0], type="Relu", inputs=nodes[0].inputs[:1])],
    "silu": other_type("HardSigmoid", 0),
    "mish": other_type("Softsign"),
    "gelu": other_type("Mish"),
    "sigmoid": other_type("HardSigmoid"),
    "dropout": other_type("Neg"),
    "maxpool": attributes(pads=[1, 1, 0, 0]),
    "avgpool": attributes(count_include_pad=0),
    "gap": other_type("GlobalMaxPool"),
    "blurpool": attributes(0, mode="edge"),
    "channelpad": inputs(zeros_at_the_other_end),
    "flatten": channels_last,
    "fc": attributes(transB=0),
    "softmax": attributes(axis=3),
    "add": other_type("Sub"),
    "mul": other_type("Add"),
    "concat": inputs(lambda tensors: tensors[::-1]),
}


def on_onnx(whole: Graph, folder: Path, embed: Preprocess | None = None) -> Report:
    weights = random_weights(whole)
    model = write_onnx(whole, weights, folder, OnnxOptions(opset=20, embed=embed))
    reference = ReferenceBackend("reference", Expected(whole, weights, None))
    return compare_backends(
        "net", [reference, OnnxBackend("onnx", model.path, Device())], Settings(), preprocess=PICTURES
    )


PICTURES = Preprocess(Color.RGB, 255, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), None, (12, 12), Interpolation.BILINEAR)


@pytest.mark.parametrize("wrong", [replace(PICTURES, color=Color.BGR), replace(PICTURES, mean=(0.3, 0.4, 0.5))])
def test_an_input_of_bytes(wrong: Preprocess, tmp_path: Path) -> None:
    """The input is an op of ONNX nodes where it embeds the preprocessing."""
    whole = cells("relu", "3x12x12")
    assert on_onnx(whole, tmp_path, PICTURES).passed
    assert not on_onnx(whole, tmp_path, wrong).passed


@pytest.mark.parametrize("op", sorted({*ROWS, *GRAPHS}))
def test_onnx(op: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = net(op)
    assert on_onnx(whole, tmp_path).passed
    right = onnx_lower.Lowered._onnx_nodes

    def wrong(self: onnx_lower.Lowered, node: Node, tensors: list[Tensor]) -> Iterator[NodePlan]:
        nodes = list(right(self, node, tensors))
        yield from ONNX[op](nodes) if node.op.keyword == op else nodes

    monkeypatch.setattr(onnx_lower.Lowered, "_onnx_nodes", wrong)
    first = on_onnx(whole, tmp_path).first_difference
    assert first
    assert first.name == "output"


# Caffe

CaffeFault: TypeAlias = Callable[[Layers], Layers]


def fields(*indices: int, **values: Any) -> CaffeFault:
    """A fault in the fields of some layers, by default of the first."""

    def fault(layers: Layers) -> Layers:
        return tuple(
            replace(layer, params=tuple((dict(layer.params) | values).items())) if at in (indices or (0,)) else layer
            for at, layer in enumerate(layers)
        )

    return fault


def other_layer(at: int, name: str, *params: tuple[str, Any]) -> CaffeFault:
    return lambda layers: (*layers[:at], replace(layers[at], type=name, params=params), *layers[at + 1 :])


def last(**values: Any) -> CaffeFault:
    return lambda layers: (*layers[:-1], replace(layers[-1], **values))


def other_values(change: Callable[[Array], Array]) -> CaffeFault:
    """A fault in the fixed values of the last layer."""

    def fault(layers: Layers) -> Layers:
        (blob,) = layers[-1].blobs
        assert isinstance(blob, FixedBlob)
        fill = blob.fill

        def wrong(shape: Shape) -> Array:
            return np.ascontiguousarray(change(fill(shape)))

        return (*layers[:-1], replace(layers[-1], blobs=(replace(blob, fill=wrong),)))

    return fault


CAFFE: dict[str, CaffeFault] = {
    "conv": fields(dilation=2, pad=2),
    "channelconv": fields(1, dilation=2, pad_h=2),
    "batchnorm": fields(eps=0.01),
    "groupnorm": fields(1, eps=0.01),
    "lrn": fields(local_size=3),
    "relu": fields(negative_slope=0.01),
    "leakyrelu": fields(negative_slope=0.01),
    "relu6": fields(1, 3, shift=5.0),
    "silu": other_layer(0, "TanH"),
    "mish": other_layer(1, "Sigmoid"),
    "sigmoid": other_layer(0, "TanH"),
    "dropout": other_layer(0, "Power", ("scale", 2.0)),
    "maxpool": fields(pool=Enum("AVE")),
    "avgpool": fields(pool=Enum("MAX")),
    "gap": fields(pool=Enum("MAX")),
    "blurpool": other_values(lambda kernel: np.full_like(kernel, 1 / 9)),
    "channelpad": other_values(lambda kernel: kernel[::-1]),
    "flatten": other_layer(0, "Power", ("scale", -1.0)),
    "fc": last(params=(("num_output", 4), ("bias_term", False)), blobs=(WeightBlob("weight"),)),
    "softmax": fields(axis=2),
    "add": fields(operation=Enum("MAX")),
    "mul": fields(operation=Enum("SUM")),
    "concat": last(reads=("1", "0")),
}


def on_caffe(whole: Graph, folder: Path, break_it: Callable[[], None] = lambda: None) -> Report:
    weights = random_weights(whole)
    expected = Expected(whole, weights, None)
    break_it()
    model = write_caffe(whole, weights, folder, dialect=Dialect.OPENCV)
    files = caffe.load(model.prototxt, model.caffemodel, expected)
    return compare_backends("net", [ReferenceBackend("reference", expected), CaffeBackend("opencv", files)], Settings())


@pytest.mark.opencv
@pytest.mark.parametrize("op", sorted(CAFFE))
def test_caffe(op: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = net(op)
    assert on_caffe(whole, tmp_path).passed
    right = caffe_lower._layers

    def wrong(graph: Graph, node: Node, batch: int, dialect: Dialect) -> Layers:
        layers = right(graph, node, batch, dialect)
        return CAFFE[op](layers) if node.op.keyword == op else layers

    report = on_caffe(whole, tmp_path, lambda: monkeypatch.setattr(caffe_lower, "_layers", wrong))
    first = report.first_difference
    assert first
    assert first.name == whole.output.name


# All ops


def test_every_op_is_broken() -> None:
    """The input is no layer of Caffe, and in ONNX one of bytes; Caffe has no gelu."""
    ops = VOCABULARY.keys() - {Input.keyword}
    assert ONNX.keys() == ops
    assert CAFFE.keys() == ops - {"gelu"}
    with pytest.raises(Failure, match="gelu"):
        caffe_lower.lower(net("gelu"), None)
