"""Whole networks on engines: a small one for every opset, and random ones."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import onnx
import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.onnx.lower import Names
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import (
    Add,
    AvgPool,
    BatchNorm,
    BlurPool,
    ChannelPad,
    Concat,
    Conv,
    Fc,
    Flatten,
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
from support.engines import (
    OPSETS,
    TOLERANCE,
    caffe_models,
    onnx_models,
    wrong_on_reference,
)
from support.helpers import (
    cells,
    compile_text,
    error,
    expected,
    graph,
    image,
    on_onnxruntime,
    on_opencv,
    on_reference_evaluator,
    random_weights,
    write_onnx,
)

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
    assert exit_code(caught.value) is Exit.USAGE


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
    assert exit_code(caught.value) is Exit.USAGE


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
