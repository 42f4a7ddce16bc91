"""Every op on engines that this project did not write, against the definitions in float64 (helpers.evaluate).

ONNX Runtime and onnx's reference evaluator run the ONNX model, unfolded and folded; OpenCV runs the Caffe files.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure
from resnetgen.formats.caffe.lower import lower
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import (
    VOCABULARY,
    Add,
    BatchNorm,
    BlurPool,
    ChannelConv,
    ChannelPad,
    Conv,
    Fc,
    Gelu,
    GlobalAvgPool,
    MaxPool,
    Mul,
    Pair,
    Relu,
    Relu6,
    Sigmoid,
    Silu,
)
from support.engines import (
    BRANCHES,
    TOLERANCE,
    WRONG,
    agrees_on_onnx,
    caffe_models,
    differs,
    onnx_models,
    wrong_on_reference,
)
from support.helpers import (
    Changed,
    cells,
    error,
    expected,
    graph,
    image,
    on_onnxruntime,
    on_opencv,
    on_reference_evaluator,
    random_weights,
    write_caffe,
    write_onnx,
)

ROWS = [
    "conv 3x3, 6",
    "conv 3x5, 6, bias",
    "conv 5x1, 6, /2x1",
    "conv 2x3, 6, p=1x0",
    "conv 1x1, 6, /2",
    "conv 7x7, 6, /2",
    "conv 2x2, 6, /2, p=0",
    "conv 3x3, 6, /3x2, p=2",
    "conv 3x3, 6, p=4",  # more padding than the kernel reaches
    "conv 3x3, 6, d=2",
    "conv 3x3, 6, d=1x2",
    "conv 3x3, 6, d=3x2, p=1",
    "conv 3x3, 8, C=2",
    "conv 3x3, 8, C=4, bias, /2",
    "conv 3x3, 4, C=4",  # depthwise
    "conv 5x3, 4, C=4, /1x2, d=1x2",
    "conv 3x3, 6 | batchnorm",
    "conv 3x3, 6, bias | batchnorm eps=0.1 | relu",
    "conv 3x3, 8, C=4 | batchnorm | batchnorm",
    "batchnorm",
    "batchnorm eps=0.01 | sigmoid",
    "batchnorm eps=0.0123456789",  # more digits than a float32 has
    "relu",
    "relu | relu",
    "sigmoid",
    "leakyrelu 0.1",
    "conv 3x3, 6 | batchnorm | leakyrelu 0.25",
    "relu | dropout 0.5",
    "conv 3x3, 6 | dropout 0.1 | relu",
    "maxpool 2x2, /2, ceil",
    "maxpool 3x3, /2, ceil",
    "maxpool 3x3, /2, p=1, ceil",
    "maxpool 3x3, p=1",
    "maxpool 5x5, /3, p=2, ceil",  # padding and overhang
    "maxpool 3x2, /2x3, p=0x1, ceil",
    "maxpool 2x3, /2x1, p=1x0",
    "maxpool 3x3, /2, p=2, ceil",  # windows that see one pixel
    "avgpool 2x2, /2, ceil",
    "avgpool 3x3, /2, ceil",
    "avgpool 3x3, /2, p=1, ceil",
    "avgpool 3x3, p=1",
    "avgpool 5x5, /3, p=2, ceil",
    "avgpool 4x4, /3, p=1, ceil",
    "avgpool 4x3, /3, p=1x0, ceil",
    "avgpool 2x3, /2x1, p=1x0",
    "avgpool 2x2, /2, ceil, exclude_pad",  # nothing is padded, so Caffe can say it
    "gap",
    "gap | softmax",
    "channelpad 4 | avgpool 1x1",
    "flatten",
    "flatten | relu",
    "flatten | flatten | fc 2",
    "fc 5",
    "fc 1",
    "fc 1 | fc 1, bias=0 | fc 3",
    "conv 1x1, 1 | groupnorm groups=1 | fc 1",
    "fc 5, bias=0",
    "flatten | fc 5",
    "gap | fc 5 | softmax",
    "fc 7 | batchnorm | fc 3 | relu | softmax",
    "softmax",
    "conv 3x3, 6 | softmax",
]
NEWER_ROWS = [
    "relu6",
    "conv 3x3, 6, bias | batchnorm | relu6",
    "silu",
    "conv 3x3, 6 | batchnorm | silu",
    "flatten | silu",
    "mish",
    "gelu",
    "flatten | gelu",
    "gap | channelconv",
    "gap | channelconv kernel=5 | sigmoid",
    "gap | channelconv kernel=9",  # it reaches beyond both ends of four channels
    "gap | channelconv channels=2048",
    "groupnorm 2, eps=0.1",
    "groupnorm 4",  # each channel on its own
    "conv 3x3, 6 | groupnorm 3 | relu",
    "lrn",
    "lrn alpha=1, k=2",
    "lrn size=3, alpha=0.5, beta=0.5",
    "lrn size=9, alpha=1",
    "blurpool",
    "blurpool /1",
    "blurpool /2x1",
    "conv 3x3, 6 | blurpool /3",
    "channelpad 4",
    "channelpad 9, /2",
    "channelpad 9, /2, both",
    "channelpad 4, /2x1",
    "avgpool 2x2, same",
    "avgpool 4x3, same",
    "avgpool 1x1, same",  # there is nothing to pad
    "conv 3x3, 6 | avgpool 1x5, same | relu",
]
"""Of ops that Caffe itself has not."""
BOTH_SIZES = [(row, size) for row in ROWS for size in ("4x12x10", "4x11x9")]

NEWER_BRANCHES: dict[str, Graph] = {
    "relu6 of what is above 6": graph((3, 8, 7), a=(Add(), "data", "data", "data", "data"), b=(Relu6(), "a")),
    "efficient channel attention": graph(
        (5, 8, 7),
        a=(GlobalAvgPool(), "data"),
        b=(ChannelConv(), "a"),
        c=(Sigmoid(), "b"),
        d=(Mul(), "data", "c"),
    ),
    "option A": graph(
        (3, 9, 7), a=(Conv((3, 3), 8, (2, 2)), "data"), b=(ChannelPad(8, (2, 2)), "data"), c=(Add(), "a", "b")
    ),
    "silu whose input is read again": graph((3, 8, 7), a=(Relu(), "data"), b=(Silu(), "a"), c=(Mul(), "a", "b")),
}
ALL = [pytest.param(lambda row=row, size=size: cells(row, size), id=f"{row} @{size}") for row, size in BOTH_SIZES]
ALL += [pytest.param(lambda net=net: net, id=name) for name, net in BRANCHES.items()]
Make = Callable[[], Graph]
OLDEST = {Relu6: 11, BlurPool: 11, ChannelPad: 11, Gelu: 20}
"""The opset from which ONNX can say an op."""
NEWER = [
    pytest.param(net, opset, id=f"{name}, opset {opset}")
    for name, net in {row: cells(row) for row in NEWER_ROWS}.items() | NEWER_BRANCHES.items()
    for opset in sorted({max(opset, *(OLDEST.get(type(node.op), 0) for node in net.nodes)) for opset in (17, 21)})
]

FLOORED = [
    # Rounding down where Caffe would round up: `round_mode: FLOOR`, which OpenCV does not know.
    ("maxpool 3x3, /2", "4x12x10"),
    ("maxpool 2x2, /2", "4x11x9"),
    ("maxpool 3x3, /2, p=1", "4x12x10"),
    ("avgpool 3x3, /2", "4x12x10"),
    ("avgpool 3x3, /2, p=1", "4x12x10"),
    ("maxpool 1x1, /2", "4x12x10"),  # rounded up, a window would start outside
    ("avgpool 1x3, /2, p=0x1", "4x12x10"),
]
EXCLUDED = [
    ("avgpool 3x3, p=1, exclude_pad", "4x12x10"),
    ("avgpool 3x3, /2, p=1, exclude_pad", "4x12x10"),
    ("avgpool 3x3, /2, p=1, ceil, exclude_pad", "4x12x10"),
    ("avgpool 4x4, /3, p=1, ceil, exclude_pad", "4x11x9"),
]


def test_cases_cover_the_vocabulary() -> None:
    """A new op without a case here fails."""
    nets = [cells(row) for row in (*ROWS, *NEWER_ROWS)] + list(BRANCHES.values())
    assert {type(node.op) for net in nets for node in net.nodes} == set(VOCABULARY.values())


@pytest.mark.parametrize("make", ALL)
def test_onnx(make: Make, tmp_path: Path) -> None:
    agrees_on_onnx(make(), tmp_path)


@pytest.mark.parametrize(("net", "opset"), NEWER)
def test_newer_ops_on_onnx(net: Graph, opset: int, tmp_path: Path) -> None:
    agrees_on_onnx(net, tmp_path, opset)


@pytest.mark.parametrize("opset", [17, 21])
def test_a_norm_of_one_group(opset: int, tmp_path: Path) -> None:
    """Of the whole image: layer normalisation."""
    agrees_on_onnx(cells("groupnorm 1"), tmp_path, opset)


def test_channelconv_reads_its_kernel_forwards(tmp_path: Path) -> None:
    net = cells("gap | channelconv")
    data, weights = image(net), random_weights(net)
    kernel = weights.tensor("s/channelconv", "weight")
    backwards = Changed(weights, {("s/channelconv", "weight"): kernel[..., ::-1]})
    found = on_onnxruntime(write_onnx(net, backwards, tmp_path).path, data)
    assert differs(found, expected(net, weights, data))


@pytest.mark.parametrize(("row", "size"), FLOORED + EXCLUDED)
def test_onnx_says_what_caffe_or_opencv_cannot(row: str, size: str, tmp_path: Path) -> None:
    agrees_on_onnx(cells(row, size), tmp_path)


@pytest.mark.opencv
@pytest.mark.parametrize("make", ALL)
def test_opencv(make: Make, tmp_path: Path) -> None:
    net = make()
    data = image(net, batch=2)
    wanted = expected(net, random_weights(net), data)
    for model in caffe_models(net, tmp_path, batch=2):
        found = on_opencv(model.prototxt, model.caffemodel, data)
        assert error(found, wanted) < TOLERANCE


@pytest.mark.opencv
@pytest.mark.parametrize(("row", "size"), FLOORED)
def test_opencv_refuses_floor(row: str, size: str, tmp_path: Path) -> None:
    """BVLC's last master reads `round_mode: FLOOR`; OpenCV takes field 13 for its own ceil_mode and fails."""
    import cv2

    model, _ = caffe_models(cells(row, size), tmp_path)
    assert "round_mode: FLOOR" in model.prototxt.read_text()
    with pytest.raises(cv2.error, match=r"(kernel|strides)\[i\] > 0"):
        on_opencv(model.prototxt, model.caffemodel, image(model.graph))


@pytest.mark.parametrize(("row", "size"), EXCLUDED)
def test_caffe_refuses_to_leave_padding_out(row: str, size: str) -> None:
    net = cells(row, size)
    with pytest.raises(Failure, match="its padding always counts") as caught:
        write_caffe(net, random_weights(net), Path())
    assert exit_code(caught.value) is Exit.SPEC
    assert caught.value.problems[0].code is Code.UNSUPPORTED
    assert caught.value.problems[0].span is not None


def test_max_pooling_ignores_its_padding(tmp_path: Path) -> None:
    """Zeros around an image of negative numbers must not win."""
    net = cells("maxpool 3x3, /2, p=1, ceil", "2x8x8")
    data = -1 - np.abs(image(net))
    model = onnx_models(net, tmp_path)[0]
    for found in (on_onnxruntime(model.path, data), on_reference_evaluator(model.path, data)):
        assert found.max() <= -1
        assert error(found, expected(net, random_weights(net), data)) == 0
    padded = np.pad(data, ((0, 0), (0, 0), (1, 1), (1, 1)))
    zeros_won = expected(cells("maxpool 3x3, /2, ceil", "2x10x10"), random_weights(net), padded)
    assert error(found, zeros_won) > WRONG  # the control: a Pad node before it


@pytest.mark.opencv
def test_max_pooling_ignores_its_padding_on_opencv(tmp_path: Path) -> None:
    net = cells("maxpool 3x3, /2, p=1, ceil", "2x8x8")
    data = -1 - np.abs(image(net))
    model = caffe_models(net, tmp_path)[0]
    assert error(on_opencv(model.prototxt, model.caffemodel, data), expected(net, random_weights(net), data)) == 0


# The same ops as torch has them: another reading of their papers than helpers.evaluate


TORCH: dict[str, Callable[..., Any]] = {
    # Of torch.nn.functional, the input, and the weights.
    "relu6": lambda f, x: f.relu6(x),
    "silu": lambda f, x: f.silu(x),
    "mish": lambda f, x: f.mish(x),
    "gelu": lambda f, x: f.gelu(x),
    "groupnorm 2, eps=0.1": lambda f, x, gamma, beta: f.group_norm(x, 2, gamma, beta, 0.1),
    "lrn": lambda f, x: f.local_response_norm(x, 5),
    "lrn size=3, alpha=0.5, beta=0.5, k=2": lambda f, x: f.local_response_norm(x, 3, 0.5, 0.5, 2),
    "channelpad 9, /2, both": lambda f, x: f.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 3)),
    "avgpool 2x2, same": lambda f, x: f.avg_pool2d(f.pad(x, (0, 1, 0, 1)), 2, 1),
}


@pytest.mark.torch
@pytest.mark.parametrize("row", TORCH)
def test_torch_computes_the_same(row: str, tmp_path: Path) -> None:
    import torch

    net = cells(row)
    data, weights = 4 * image(net, batch=2), random_weights(net)  # times 4: relu6 must have something to cut
    node = net.nodes[-1]
    own = [torch.from_numpy(weights.tensor(node.name, p.name)) for p in net.parameters(node)]
    wanted = TORCH[row](torch.nn.functional, torch.from_numpy(data), *own).numpy()
    model = write_onnx(net, weights, tmp_path, OnnxOptions(opset=21))
    assert error(on_onnxruntime(model.path, data), wanted) < TOLERANCE


# Faults of the engines, met on the way: when one of these fails, an engine was mended


@pytest.mark.parametrize("pad", [(1, 0), (0, 1), (1, 1)])
def test_reference_evaluator_s_max_pooling(pad: Pair, tmp_path: Path) -> None:
    """onnx 1.23: with stride 1 it takes the padding of one axis for that of the other."""
    net = graph((2, 6, 5), a=(MaxPool((3, 3), pad=pad), "data"))
    data, model = image(net), onnx_models(net, tmp_path)[0]
    wanted = expected(net, random_weights(net), data)
    assert error(on_onnxruntime(model.path, data), wanted) == 0
    assert differs(on_reference_evaluator(model.path, data), wanted) is wrong_on_reference(net.nodes[1].op)


@pytest.mark.opencv
def test_opencv_s_fusion_of_a_sum_of_vectors(tmp_path: Path) -> None:
    """OpenCV 4.14 merges a norm into the sum or product of two vectors before it, wrongly."""
    net = graph((3, 4, 3), a=(Fc(5), "data"), b=(Fc(5), "data"), c=(Add(), "a", "b"), d=(BatchNorm(), "c"))
    data, model = image(net), caffe_models(net, tmp_path)[0]
    wanted = expected(net, random_weights(net), data)
    assert error(on_opencv(model.prototxt, model.caffemodel, data, fusion=False), wanted) < TOLERANCE
    assert differs(on_opencv(model.prototxt, model.caffemodel, data), wanted)


# What works in place in a prototxt

IN_PLACE = [
    # A network, a node, and the blob that it writes.
    (cells("conv 3x3, 4 | relu"), "s/relu", "s/conv"),
    (cells("conv 3x3, 4 | batchnorm | sigmoid"), "s/sigmoid", "s/conv"),
    (cells("relu"), "s/relu", "s/relu"),  # the input stays: a second forward pass starts from it
    (cells("maxpool 3x3 | relu"), "s/relu", "s/maxpool"),
    (cells("flatten | relu"), "s/relu", "s/relu"),  # Caffe's Flatten shares its bottom's memory
    (BRANCHES["a relu whose input is read again"], "b", "b"),
    (BRANCHES["a norm whose input is read again"], "b", "b"),
    (BRANCHES["a flattened tensor beside its image"], "c", "c"),
    (BRANCHES["concatenated, norm of it"], "e", "c"),
]


@pytest.mark.parametrize(("net", "node", "blob"), IN_PLACE, ids=lambda value: value if isinstance(value, str) else "")
def test_in_place(net: Graph, node: str, blob: str) -> None:
    tops = {layer.node: layer.tops[-1] for layer in lower(net, None).layers}
    assert tops[node] == blob
