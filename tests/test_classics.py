"""The classics: their parameters as they were published, and their outputs on two engines at a small size."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.compiler import compile_spec
from resnetgen.job import Compiled
from resnetgen.runtimes.onnxruntime import Provider, random_input
from resnetgen.targets.caffe import emit as caffe
from resnetgen.targets.onnx.emit import OnnxOptions, plan, write
from resnetgen.verify import Settings, verify_against_spec
from resnetgen.weights.initialise import Init, Initialised

PUBLISHED = {
    "plain34": 21_623_848,
    "vgg19": 143_667_240,
    "vgg19_bn": 143_678_248,
    "darknet53": 41_609_928,
    "d2l_resnet18": 11_178_378,
    "wrn_28_10": 36_479_194,
    "preact_resnet200": 64_666_280,
    "preact_resnet1001": 10_327_706,
}
SMALL = {
    "darknet53": ("3x64x64", {}),
    "d2l_resnet18": ("1x32x32", {}),
    "wrn_28_10": ("3x16x16", {"n": 1, "k": 2}),
    "preact_resnet164": ("3x16x16", {"n": 2}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    assert compile_spec(name).graph.parameter_count == PUBLISHED[name]


def small(name: str) -> Compiled:
    image, settings = SMALL[name]
    return compile_spec(name, settings, image=image)


@pytest.mark.parametrize("name", SMALL)
def test_folded_model_equals_the_unfolded_one(name: str, tmp_path: Path) -> None:
    """Pre-activation keeps norms whose convolution is not before them, or has another reader."""
    from resnetgen.passes.pipeline import run_passes

    graph = small(name).graph
    weights = Initialised(graph, 1, Init.RANDOM_STATS)
    folded, folded_weights = run_passes(graph, weights)
    model = tmp_path / "model.onnx"
    write(plan(folded, OnnxOptions()), folded_weights, model)
    report = verify_against_spec(model, graph, weights, Settings(Provider.CPU, batch=2))
    assert report.passed, report.first_difference


@pytest.mark.opencv
@pytest.mark.parametrize("name", [name for name in SMALL if name != "d2l_resnet18"])
def test_caffe_files_on_opencv_equal_the_onnx_model(name: str, tmp_path: Path) -> None:
    """(OpenCV does not know the padded pooling of d2l's stem, which rounds down.)"""
    cv2 = pytest.importorskip("cv2")
    import numpy as np
    import onnxruntime

    graph = small(name).graph
    weights = Initialised(graph, 1, Init.RANDOM_STATS)
    text, model, onnx = (tmp_path / f"net.{end}" for end in ("prototxt", "caffemodel", "onnx"))
    planned = caffe.plan(graph, None, None, with_weights=True)
    text.write_text(planned.text)
    caffe.write_caffemodel(planned, weights, model)
    write(plan(graph, OnnxOptions()), weights, onnx)
    data = random_input((1, *graph.shapes["data"]), 0)
    net = cv2.dnn.readNetFromCaffe(str(text), str(model))
    net.enableFusion(False)  # OpenCV folds a norm into a sum before it wrongly
    net.setInput(data)
    (wanted,) = onnxruntime.InferenceSession(str(onnx)).run(None, {"input": data})
    assert np.abs(net.forward() - wanted).max() <= 1e-4 * np.abs(wanted).max()
