"""Negative controls of the tests on engines: each of these mistakes must show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from msgspec.structs import replace

from resnetgen.ir.graph import Graph
from support.engines import (
    BRANCHES,
    differs,
    onnx_models,
)
from support.helpers import (
    Changed,
    cells,
    expected,
    image,
    of_nodes,
    on_onnxruntime,
    on_opencv,
    random_weights,
    write_caffe,
    write_onnx,
)

BLOCK = "conv 3x3, 4 | batchnorm | relu | avgpool 3x3, /2, p=1"


def swapped(net: Graph, node: str, a: str, b: str) -> Changed:
    weights = random_weights(net)
    return Changed(weights, {(node, a): weights.tensor(node, b), (node, b): weights.tensor(node, a)})


def statistics_swapped(net: Graph) -> Changed:
    """The absolute mean, since a negative variance would be refused."""
    changed = swapped(net, "s/batchnorm", "mean", "variance")
    key = ("s/batchnorm", "variance")
    return Changed(changed.weights, {**changed.tensors, key: np.abs(changed.tensors[key])})


def transposed(net: Graph) -> Changed:
    weights = random_weights(net)
    return Changed(weights, {("s/conv", "weight"): weights.tensor("s/conv", "weight").transpose(0, 1, 3, 2)})


MISTAKES: dict[str, Callable[[Graph], Changed]] = {
    "mean and variance are swapped": statistics_swapped,
    "gamma and beta are swapped": lambda net: swapped(net, "s/batchnorm", "gamma", "beta"),
    "gamma and variance are swapped": lambda net: swapped(net, "s/batchnorm", "gamma", "variance"),
    "the kernel is transposed": transposed,
}


@pytest.mark.filterwarnings("ignore:invalid value")  # the root of a negative variance
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistaken_weights_show(mistake: str, tmp_path: Path) -> None:
    net = cells(BLOCK, "4x11x9")
    data, wrong = image(net), MISTAKES[mistake](net)
    wanted = expected(net, random_weights(net), data)
    for fold in (False, True):
        assert differs(on_onnxruntime(write_onnx(net, wrong, tmp_path, fold=fold).path, data), wanted)


@pytest.mark.opencv
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistaken_weights_show_on_opencv(mistake: str, tmp_path: Path) -> None:
    net = cells(BLOCK, "4x11x9")
    data, model = image(net), write_caffe(net, MISTAKES[mistake](net), tmp_path)
    assert differs(on_opencv(model.prototxt, model.caffemodel, data), expected(net, random_weights(net), data))


ATTRIBUTES = [
    # Row, attribute of its first node, the mistake; all leave every shape as it is.
    ("maxpool 3x3, /2, ceil", "pads", [1, 1, 0, 0]),
    ("maxpool 3x3, /2, ceil", "pads", [1, 0, 0, 1]),
    ("avgpool 3x3, /2, ceil", "pads", [1, 1, 0, 0]),
    ("avgpool 3x3, /2, ceil", "count_include_pad", 1),
    ("avgpool 3x3, /2, p=1", "count_include_pad", 0),
    ("conv 3x3, 4, /2", "pads", [0, 0, 2, 2]),
    ("conv 3x3, 4, p=2, d=2", "dilations", [1, 2]),
    ("batchnorm eps=0.1", "epsilon", 0.2),
    ("lrn alpha=1", "size", 3),
    ("lrn alpha=1", "alpha", 5.0),
    ("lrn alpha=1", "beta", 0.5),
    ("lrn alpha=1", "bias", 2.0),
    ("blurpool", "mode", "edge"),
    ("blurpool", "mode", "constant"),
]


@pytest.mark.parametrize(("row", "attribute", "value"), ATTRIBUTES)
def test_mistaken_attributes_show(row: str, attribute: str, value: object, tmp_path: Path) -> None:
    net = cells(row, "4x12x10")
    data = image(net)
    model = onnx_models(net, tmp_path)[0]
    assert not differs(on_onnxruntime(model.path, data), expected(net, random_weights(net), data))
    proto = onnx.load(str(model.path))
    (old,) = [one for one in proto.graph.node[0].attribute if one.name == attribute]
    proto.graph.node[0].attribute.remove(old)
    proto.graph.node[0].attribute.append(onnx.helper.make_attribute(attribute, value))
    del proto.graph.output[0].type.tensor_type.shape.dim[2:]
    assert differs(on_onnxruntime(proto.SerializeToString(), data), expected(net, random_weights(net), data))


@pytest.mark.parametrize("pads", [[0, 0, 1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 1, 0]])
def test_uneven_zeros_on_another_side_show(pads: list[int], tmp_path: Path) -> None:
    net = cells("avgpool 2x2, same", "4x12x10")
    data = image(net)
    proto = onnx.load(str(onnx_models(net, tmp_path)[0].path))
    (zeros,) = proto.graph.initializer
    assert list(zeros.int64_data) == [0, 0, 0, 0, 0, 0, 1, 1]
    zeros.int64_data[:] = pads
    assert differs(on_onnxruntime(proto.SerializeToString(), data), expected(net, random_weights(net), data))


CAFFE_MISTAKES = [
    ("maxpool 3x3, /2, ceil", "kernel_size: 3", "kernel_size: 2"),
    ("avgpool 3x3, /2, p=1", "pool: AVE", "pool: MAX"),
    ("conv 3x3, 4, d=2", "dilation: 2", "dilation: 1"),
    ("batchnorm eps=0.1", "eps: 0.1", "eps: 0.2"),
]


@pytest.mark.opencv
@pytest.mark.parametrize(("row", "right", "wrong"), CAFFE_MISTAKES)
def test_mistaken_fields_show_on_opencv(row: str, right: str, wrong: str, tmp_path: Path) -> None:
    net = cells(row, "4x11x9")
    data = image(net)
    model = write_caffe(net, random_weights(net), tmp_path)
    text = model.prototxt.read_text()
    assert text.count(right) == 1
    found = on_opencv(text.replace(right, wrong), model.caffemodel, data)
    assert differs(found, expected(net, random_weights(net), data))


def test_mistaken_rounding_is_another_network() -> None:
    """Torch's pooling of the stem and Caffe's: one shape, other numbers."""
    caffe, torch = cells("maxpool 3x3, /2, ceil", "2x12x12"), cells("maxpool 3x3, /2, p=1", "2x12x12")
    assert caffe.shapes["s/maxpool"] == torch.shapes["s/maxpool"]
    assert differs(*(expected(net, random_weights(net), image(caffe)) for net in (caffe, torch)))


def test_three_are_added_not_two(tmp_path: Path) -> None:
    net = BRANCHES["three added"]
    data = image(net)
    data_node, a, b, _, d = net.nodes
    other = of_nodes(data_node, a, b, replace(d, inputs=("a", "b", "b")))
    model = onnx_models(other, tmp_path)[0]
    assert differs(on_onnxruntime(model.path, data), expected(net, random_weights(net), data))
