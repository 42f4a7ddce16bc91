"""The classics: their parameters as they were published, and their outputs on two engines at a small size."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.build.job import Job
from resnetgen.build.options import Options
from resnetgen.formats.caffe import write as caffe
from resnetgen.formats.onnx.write import OnnxOptions, plan, write
from resnetgen.ir.ops import ChannelPad, Conv
from resnetgen.network import Network, compile_spec
from resnetgen.pretrained.weights import Weights
from resnetgen.progress import Quiet
from resnetgen.summary import summarise
from resnetgen.verification import Settings, verify_against_spec
from resnetgen.weights.initialise import Init, Initialised
from support.helpers import image
from support.work import count_lines

PUBLISHED = {
    "plain34": 21_623_848,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "darknet53": 41_609_928,
    "d2l_resnet18": 11_178_378,
    "wrn_28_10": 36_479_194,
    "preact_resnet200": 64_666_280,
    "preact_resnet1001": 10_327_706,
    "resnet110_cifar": 1_727_962,
    "resnet1202_cifar": 19_421_274,
    "googlenet": 6_998_552,
    "resnext50_32x4d": 25_028_904,
    "resnext101_64x4d": 83_455_272,
    "senet154": 115_088_984,
    "resnet50_gn": 25_557_032,  # ResNet-50 v1.5's: gamma and beta are of each channel, whatever the norm
    "resnet34_a": 21_623_848,  # plain-34's: option A has no weights
    "resnet50_os8": 25_557_032,  # a dilation has none either
}
PRINTED = {
    # Millions, as the papers' tables print them.
    "resnet20_cifar": "0.27",
    "resnet32_cifar": "0.46",
    "resnet44_cifar": "0.66",
    "resnet56_cifar": "0.85",
    "resnet110_cifar": "1.7",
    "resnet1202_cifar": "19.4",
    "resnext29_8x64d": "34.4",
    "wrn_40_4": "8.9",
    "wrn_28_10": "36.5",
    "preact_resnet164": "1.7",
}
SMALL = {
    # An input, and what a child of the spec says.
    "darknet53": (
        "3x64x64",
        "stages: {conv5: '3x3, 128, /2 | [1x1, 64; 3x3, 128] x2', conv6: '3x3, 256, /2 | [1x1, 128; 3x3, 256] x2'}",
    ),
    "d2l_resnet18": ("1x32x32", ""),
    "wrn_28_10": ("3x16x16", "params: {n: 1, k: 2}"),
    "preact_resnet164": ("3x16x16", "params: {n: 2}"),
    "resnet20_cifar": ("3x17x16", "params: {n: 1}"),
    "googlenet": ("3x48x48", "stages: {head: gap | fc 10}"),
    "resnext29_8x64d": ("3x8x8", "params: {C: 2, d: 4}"),
    "resnet50_gn": (
        "3x33x33",
        "stages: {conv4_x: '[1x1, 64; 3x3, 64; 1x1, 256] x2 /2', conv5_x: '[1x1, 64; 3x3, 64; 1x1, 256] x2 /2'}",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    assert compile_spec(name).graph.parameter_count == PUBLISHED[name]


@pytest.mark.parametrize("name", PRINTED)
def test_parameters_are_those_that_papers_print(name: str) -> None:
    digits = len(PRINTED[name].partition(".")[2])
    assert f"{compile_spec(name).graph.parameter_count / 1e6:.{digits}f}" == PRINTED[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_summary_leaves_no_parameter_out(name: str) -> None:
    network = compile_spec(name)
    assert summarise(network.spec, network.graph).total.parameters == network.graph.parameter_count


def test_a_setting_makes_resnet_1202() -> None:
    """resnetgen build resnet110_cifar --set n=200"""
    deeper, own = compile_spec("resnet110_cifar", {"n": 200}), compile_spec("resnet1202_cifar")
    assert [(node.name, node.op) for node in deeper.graph.nodes] == [(node.name, node.op) for node in own.graph.nodes]


@pytest.mark.parametrize(
    ("name", "projections", "pads"),
    [
        ("plain34", 0, 0),
        ("resnet34_a", 0, 3),
        ("resnet34", 3, 0),
        ("resnet34_c", 16, 0),
        ("resnet20_cifar", 0, 2),
        ("resnet20_cifar_b", 2, 0),
        ("resnet20_cifar_c", 9, 0),
    ],
)
def test_options_of_shortcuts(name: str, projections: int, pads: int) -> None:
    """The paper's options A, B and C: nowhere, where the shape changes, or in every block."""
    shortcuts = [node.op for node in compile_spec(name).graph.nodes if "/shortcut/" in node.name]
    assert sum(isinstance(op, Conv) for op in shortcuts) == projections
    assert sum(isinstance(op, ChannelPad) for op in shortcuts) == pads


@pytest.mark.parametrize("target", ["onnx", "caffe"])
@pytest.mark.parametrize("name", ["resnet1202_cifar", "preact_resnet1001"])
def test_the_deepest_compile(name: str, target: str) -> None:
    network = compile_spec(name)
    Job(network, Weights.random(network), Options(targets=(target,)), Quiet()).plan()


def lines_per_node(target: str, n: int) -> float:
    """Compile and plan a network of 6n + 2 layers, 21n + 9 nodes."""
    with count_lines() as lines:
        network = compile_spec("resnet110_cifar", {"n": n})
        Job(network, Weights.random(network), Options(targets=(target,)), Quiet()).plan()
    return lines.count / len(network.graph.nodes)


def growth(target: str) -> float:
    """How many times the lines of a node are in a network of 996 nodes what they are in one of 219."""
    lines_per_node(target, 1)  # imports what it needs
    return lines_per_node(target, 47) / lines_per_node(target, 10)


@pytest.mark.parametrize("target", ["onnx", "caffe"])
def test_work_of_a_node_does_not_grow_with_their_number(target: str) -> None:
    """Measured: 0.92 and 0.94. `python -m benchmarks compile_time` takes the time, of 50,000 nodes."""
    assert growth(target) < 1.1


def test_a_step_that_looks_at_all_nodes_for_each_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the test above."""
    plan = Job.plan

    def slow_plan(job: Job) -> object:
        for node in job.network.graph.nodes:
            for _ in job.network.graph.nodes:
                assert node
        return plan(job)

    monkeypatch.setattr(Job, "plan", slow_plan)
    assert growth("onnx") > 1.5


def small(name: str, folder: Path) -> Network:
    size, patch = SMALL[name]
    child = folder / "small.yaml"
    child.write_text(f"extends: {name}\nnames: null\n{patch}\n")
    return compile_spec(str(child), input_size=size)


@pytest.mark.parametrize("name", SMALL)
def test_folded_model_equals_the_unfolded_one(name: str, tmp_path: Path) -> None:
    """Pre-activation keeps norms whose convolution is not before them, or has another reader."""
    from resnetgen.passes.pipeline import run_passes

    graph = small(name, tmp_path).graph
    weights = Initialised(graph, 1, Init.RANDOM_STATS)
    folded, folded_weights = run_passes(graph, weights)
    model = tmp_path / "model.onnx"
    write(plan(folded, OnnxOptions()), folded_weights, model)
    report = verify_against_spec(model, graph, weights, Settings(batches=(2,)))
    assert report.passed, report.first_difference


@pytest.mark.opencv
@pytest.mark.parametrize("name", [name for name in SMALL if name != "d2l_resnet18"])
def test_caffe_files_on_opencv_equal_the_onnx_model(name: str, tmp_path: Path) -> None:
    """(OpenCV does not know the padded pooling of d2l's stem, which rounds down.)"""
    import cv2
    import numpy as np
    import onnxruntime

    graph = small(name, tmp_path).graph
    weights = Initialised(graph, 1, Init.RANDOM_STATS)
    text, model, onnx = (tmp_path / f"net.{end}" for end in ("prototxt", "caffemodel", "onnx"))
    planned = caffe.plan(graph, None, None, with_weights=True)
    text.write_text(planned.text)
    caffe.write_caffemodel(planned, weights, model)
    write(plan(graph, OnnxOptions()), weights, onnx)
    data = image(graph)
    net = cv2.dnn.readNetFromCaffe(str(text), str(model))
    net.enableFusion(False)  # OpenCV folds a norm into a sum before it wrongly
    net.setInput(data)
    (wanted,) = onnxruntime.InferenceSession(str(onnx)).run(None, {"input": data})
    assert np.abs(net.forward() - wanted).max() <= 1e-4 * np.abs(wanted).max()
