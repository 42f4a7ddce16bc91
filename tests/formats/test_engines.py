"""Every op on engines that this project did not write, against the definitions in float64 (helpers.evaluate).

ONNX Runtime and onnx's reference evaluator run the ONNX model, unfolded and folded; OpenCV runs the Caffe files.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from msgspec.structs import replace

from resnetgen.backends.interpreter import Interpreter
from resnetgen.errors import Code, Exit, Failure
from resnetgen.formats.caffe.lower import lower
from resnetgen.formats.caffe.validate import validate_caffemodel, validate_prototxt
from resnetgen.formats.onnx.lower import Names
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import (
    VOCABULARY,
    Add,
    AvgPool,
    BatchNorm,
    BlurPool,
    ChannelConv,
    ChannelPad,
    Concat,
    Conv,
    Fc,
    Flatten,
    Gelu,
    GlobalAvgPool,
    GroupNorm,
    Lrn,
    MaxPool,
    Mish,
    Mul,
    Op,
    OpError,
    Pair,
    Relu,
    Relu6,
    Shape,
    Sigmoid,
    Silu,
    Softmax,
)
from support.helpers import (
    CaffeModel,
    Changed,
    OnnxModel,
    cells,
    compile_text,
    error,
    expected,
    graph,
    image,
    of_nodes,
    on_onnxruntime,
    on_opencv,
    on_reference_evaluator,
    random_weights,
    write_caffe,
    write_onnx,
)

TOLERANCE = 1e-5
"""Of the largest absolute value. Measured: 1e-7 on all engines."""
WRONG = 1e-3
"""What a negative control must differ by at least."""

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
    "flatten",
    "flatten | relu",
    "flatten | flatten | fc 2",
    "fc 5",
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

BRANCHES: dict[str, Graph] = {
    "three added": graph(
        (3, 8, 7),
        a=(Conv((3, 3), 4), "data"),
        b=(Conv((1, 1), 4), "data"),
        c=(Conv((5, 5), 4), "data"),
        d=(Add(), "a", "b", "c"),
    ),
    "added to itself": graph((3, 8, 7), a=(Conv((3, 3), 4), "data"), b=(Add(), "a", "a")),
    "the input is read again": graph((3, 8, 7), a=(Relu(), "data"), b=(Sigmoid(), "data"), c=(Add(), "data", "a", "b")),
    "a relu whose input is read again": graph(
        (3, 8, 7), a=(Conv((3, 3), 4), "data"), b=(Relu(), "a"), c=(Sigmoid(), "a"), d=(Add(), "a", "b", "c")
    ),
    "a norm whose input is read again": graph(
        (3, 8, 7), a=(Conv((3, 3), 4), "data"), b=(BatchNorm(), "a"), c=(Relu(), "a"), d=(Add(), "b", "c")
    ),
    "concatenated, norm of it": graph(
        (3, 8, 7),
        a=(Conv((3, 3), 4), "data"),
        b=(Conv((3, 3), 2), "data"),
        c=(Concat(), "b", "data", "a"),
        d=(BatchNorm(), "c"),
        e=(Relu(), "d"),
    ),
    "vectors concatenated": graph((3, 8, 7), a=(Fc(4), "data"), b=(Fc(2), "data"), c=(Concat(), "b", "a")),
    "vectors multiplied": graph((3, 8, 7), a=(Fc(4), "data"), b=(Fc(4), "data"), c=(Mul(), "b", "a")),
    "images multiplied": graph(
        (3, 8, 7), a=(Conv((3, 3), 4), "data"), b=(Conv((1, 1), 4), "data"), c=(Mul(), "b", "a"), d=(Relu(), "c")
    ),
    "a gate": graph(
        (3, 8, 7),
        a=(Conv((3, 3), 4), "data"),
        b=(GlobalAvgPool(), "a"),
        c=(Sigmoid(), "b"),
        d=(Mul(), "a", "c"),
        e=(Relu(), "d"),
    ),
    "a gate before its image": graph(
        (3, 8, 7), b=(GlobalAvgPool(), "data"), c=(Sigmoid(), "b"), d=(Mul(), "c", "data")
    ),
    "a gate on a row": graph((3, 1, 7), b=(GlobalAvgPool(), "data"), c=(Mul(), "data", "b")),
    "a gate on a gate": graph((3, 8, 7), b=(GlobalAvgPool(), "data"), c=(Sigmoid(), "b"), d=(Mul(), "c", "b")),
    "a flattened tensor beside its image": graph(
        (3, 8, 7),
        a=(Conv((3, 3), 4), "data"),
        b=(Flatten(), "a"),
        c=(Relu(), "b"),  # in place it would change what d reads: Caffe's Flatten shares memory
        d=(Sigmoid(), "a"),
        e=(Flatten(), "d"),
        f=(Add(), "c", "e"),
    ),
    "one flatten for two": graph(
        (3, 4, 3), a=(Flatten(), "data"), b=(Fc(36), "a"), c=(Fc(36), "a"), d=(Add(), "a", "b", "c")
    ),
}
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
OPSETS = (9, 11, 13, 17, 18, 20, 21, 23)
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


def onnx_models(net: Graph, folder: Path, opset: int = 17) -> list[OnnxModel]:
    weights = random_weights(net)
    return [write_onnx(net, weights, folder, OnnxOptions(opset=opset), fold=fold) for fold in (False, True)]


def agrees_on_onnx(net: Graph, folder: Path, opset: int = 17) -> None:
    data = image(net, batch=2)
    wanted = expected(net, random_weights(net), data)
    assert net.shapes[net.output.name] == wanted.shape[1:]
    formulas = Interpreter(net, random_weights(net)).run({"data": data}, net.outputs)
    assert error(formulas[net.output.name], wanted) < 1e-12
    for model in onnx_models(net, folder, opset):
        assert validate(model.path, model.graph, model.plan, model.options, model.checksums) == []
        onnx.checker.check_model(str(model.path), full_check=True)
        assert error(on_onnxruntime(model.path, data), wanted) < TOLERANCE
        assert error(on_reference_evaluator(model.path, data), wanted) < TOLERANCE


def caffe_models(net: Graph, folder: Path, batch: int = 1) -> list[CaffeModel]:
    weights = random_weights(net)
    models = [write_caffe(net, weights, folder, fold=fold, batch=batch) for fold in (False, True)]
    for model in models:
        assert validate_prototxt(model.prototxt, model.graph, model.plan) == []
        assert validate_caffemodel(model.caffemodel, model.plan, model.checksums) == []
    return models


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
    assert caught.value.exit is Exit.SPEC
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


# A whole small network

RESNET = """
use: std
name: tiny
input: 3x33x31
blocks:
  squeeze:
    params: {width: null}
    branches:
      x: identity
      gate: gap | conv 1x1, $width // 4, bias | relu | conv 1x1, $width, bias | sigmoid
    merge: mul
stages:
  conv1:   17x16 | 7x7, 8, /2, bias
  conv2_x: 8x8   | maxpool 3x3, /2, ceil | [3x3, 8; 3x3, 8] x2
  conv3_x: 4x4   | [1x1, 8; 3x3, 8, C=4; 1x1, 16; squeeze(16)] x2 /2
  head:    1x1   | avgpool 3x3, /2, p=1, ceil | gap | fc 7 | softmax
"""


def without_overhang() -> Graph:
    """Opset 9 cannot say an average with padding and an overhang."""
    return compile_text(RESNET.replace("avgpool 3x3, /2, p=1, ceil", "avgpool 3x3, /2, p=1"))


def test_every_opset_says_the_same(tmp_path: Path) -> None:
    net = without_overhang()
    data, weights = image(net, batch=3), random_weights(net)
    wanted = expected(net, weights, data)
    for opset in OPSETS:
        for fold in (False, True):
            model = write_onnx(net, weights, tmp_path, OnnxOptions(opset=opset), fold=fold)
            proto = onnx.load(str(model.path))
            assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", opset)]
            assert proto.ir_version <= 13  # what ONNX Runtime 1.31 accepts at most
            onnx.checker.check_model(proto, full_check=True)
            assert error(on_onnxruntime(model.path, data), wanted) < TOLERANCE
            assert error(on_reference_evaluator(model.path, data), wanted) < TOLERANCE


@pytest.mark.parametrize(
    ("row", "oldest"),
    [
        ("avgpool 4x4, /3, p=1, ceil", 11),
        ("fc 5, bias=0", 11),
        ("softmax", 13),
        ("relu6", 11),
        ("blurpool", 11),
        ("channelpad 9, /2", 11),
        ("gelu", 20),
    ],
)
def test_what_needs_a_newer_opset(row: str, oldest: int, tmp_path: Path) -> None:
    net = cells(row, "4x12x10")
    data, weights = image(net), random_weights(net)
    for opset in OPSETS:
        if opset >= oldest:
            model = write_onnx(net, weights, tmp_path, OnnxOptions(opset=opset))
            onnx.checker.check_model(str(model.path), full_check=True)
            assert error(on_onnxruntime(model.path, data), expected(net, weights, data)) < TOLERANCE
        else:
            with pytest.raises(Failure, match=f"from opset {oldest} on, not in {opset}"):
                write_onnx(net, weights, tmp_path, OnnxOptions(opset=opset))


@pytest.mark.parametrize("opset", [8, 1000])
def test_unknown_opset(opset: int) -> None:
    net = cells("relu")
    with pytest.raises(Failure, match=f"opset {opset} lies outside 9 to") as caught:
        write_onnx(net, random_weights(net), Path(), OnnxOptions(opset=opset))
    assert caught.value.exit is Exit.USAGE


def test_batch(tmp_path: Path) -> None:
    net = compile_text(RESNET)
    weights = random_weights(net)
    three = image(net, batch=3)
    wanted = expected(net, weights, three)
    dynamic = write_onnx(net, weights, tmp_path, fold=True)
    fixed = write_onnx(net, weights, tmp_path, OnnxOptions(batch=3), fold=True)
    assert error(on_onnxruntime(dynamic.path, three), wanted) < TOLERANCE
    assert error(on_onnxruntime(dynamic.path, three[:1]), wanted[:1]) < TOLERANCE
    assert error(on_onnxruntime(fixed.path, three), wanted) < TOLERANCE
    with pytest.raises(Exception, match="Got invalid dimensions"):
        on_onnxruntime(fixed.path, three[:1])


@pytest.mark.opencv
def test_network_on_opencv(tmp_path: Path) -> None:
    net = compile_text(RESNET)
    data = image(net, batch=3)
    for model in caffe_models(net, tmp_path, batch=3):
        found = on_opencv(model.prototxt, model.caffemodel, data)
        assert error(found, expected(net, random_weights(net), data)) < TOLERANCE


@pytest.mark.parametrize(
    "names",
    [
        Names("x", "x"),
        Names("s/conv", "y"),
        Names("x", "s/relu"),
        Names("x", "s/conv.weight"),
        Names("s/fc/flat", "y"),
        Names("x", ""),
    ],
    ids=str,
)
def test_tensor_names_that_are_taken(names: Names) -> None:
    net = cells("conv 3x3, 4 | relu | fc 3 | sigmoid")
    with pytest.raises(Failure, match="must differ") as caught:
        write_onnx(net, random_weights(net), Path(), OnnxOptions(names=names))
    assert caught.value.exit is Exit.USAGE


# Networks that no one thought of


def random_op(chance: random.Random, shape: Shape, for_caffe: bool) -> Op:
    """Raises OpError for one that cannot be."""

    def pair(low: int, high: int) -> Pair:
        return (chance.randint(low, high), chance.randint(low, high))

    if len(shape) == 1:
        return chance.choice([Relu(), Sigmoid(), BatchNorm(), Fc(4), Softmax(), Flatten()])
    match chance.choice(["conv", "conv", "max", "average", "other", *([] if for_caffe else ["newer"])]):
        case "conv":
            groups = chance.choice([1, 1, 2, shape[0]])
            return Conv(pair(1, 5), groups * 2, pair(1, 3), groups, pair(1, 3), pair(0, 4), chance.random() < 0.5)
        case "max":
            return MaxPool(pair(1, 5), pair(1, 4), pair(0, 3), ceil=chance.random() < 0.6)
        case "average":
            exclude_pad = not for_caffe and chance.random() < 0.5
            return AvgPool(pair(1, 5), pair(1, 4), pair(0, 3), chance.random() < 0.6, exclude_pad)
        case "newer":
            pad = ChannelPad(shape[0] + chance.randint(0, 3), pair(1, 3), chance.random() < 0.5)
            norm = GroupNorm(chance.choice([1, shape[0]]), 0.1)
            return chance.choice(
                [Relu6(), Silu(), Mish(), Lrn(), BlurPool(pair(1, 3)), pad, norm, AvgPool(pair(1, 5), same=True)]
            )
    return chance.choice([Relu(), Sigmoid(), BatchNorm(1e-3), Softmax(), GlobalAvgPool(), Flatten(), Fc(5)])


def random_net(seed: int, for_caffe: bool) -> Graph:
    """Up to seven nodes; every third merges the last value with any before it. What does not fit is left out."""
    chance = random.Random(seed)
    while True:
        size = (chance.randint(1, 4), chance.randint(1, 14), chance.randint(1, 14))
        nodes, shapes = {}, {"data": size}
        for name in "abcdefghijkl"[: chance.randint(1, 12)]:
            last = [*shapes][-1]
            with suppress(OpError):
                if chance.random() < 0.3:
                    op: Op = chance.choice([Add(), Mul(), Concat()])
                    inputs = chance.sample([last, chance.choice([*shapes])], k=2)
                else:
                    op, inputs = random_op(chance, shapes[last], for_caffe), [last]
                shapes[name] = op.shape(*(shapes[one] for one in inputs))
                nodes[name] = (op, *inputs)
        if nodes and len((net := graph(size, **nodes)).outputs) == 1:
            return net


@pytest.mark.parametrize("seed", range(60))
def test_random_networks(seed: int, tmp_path: Path) -> None:
    net = random_net(seed, for_caffe=False)
    data = image(net, batch=2)
    wanted = expected(net, random_weights(net), data)
    for model in onnx_models(net, tmp_path):
        assert validate(model.path, model.graph, model.plan, model.options, model.checksums) == []
        assert error(on_onnxruntime(model.path, data), wanted) < TOLERANCE
        if not any(wrong_on_reference(node.op) for node in net.nodes):
            assert error(on_reference_evaluator(model.path, data), wanted) < TOLERANCE


@pytest.mark.opencv
@pytest.mark.parametrize("seed", range(60))
def test_random_networks_on_opencv(seed: int, tmp_path: Path) -> None:
    net = random_net(seed, for_caffe=True)
    data = image(net, batch=2)
    for model in caffe_models(net, tmp_path, batch=2):
        if "round_mode: FLOOR" not in model.plan.text:
            found = on_opencv(model.prototxt, model.caffemodel, data, fusion=False)
            assert error(found, expected(net, random_weights(net), data)) < TOLERANCE


# Faults of the engines, met on the way: when one of these fails, an engine was mended


def wrong_on_reference(op: Op) -> bool:
    return isinstance(op, MaxPool) and op.stride == (1, 1) and op.pad[0] != op.pad[1]


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


# Negative controls: each of these mistakes must show

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


def differs(found: np.ndarray, wanted: np.ndarray) -> bool:
    return not error(found, wanted) < WRONG


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
