"""int8: the ends of a quantised model stay in fp32, and agreement counts each image once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.precision import quantise
from resnetgen.precision.agreement import measure
from resnetgen.precision.calibration import Images
from resnetgen.precision.precision_options import Precision, PrecisionOptions, Tolerance
from resnetgen.preprocess import Color, Interpolation, Preprocess
from support.helpers import OnnxModel, compile_text, random_weights, write_onnx

SPEC = """\
use: std
input: 3x8x8
stages:
  conv1: 4x4 | 3x3, 4, /2
  head:  1x1 | gap | HEAD
"""
LOWERING = PrecisionOptions(Precision.INT8, Tolerance(0, 0))


def model(folder: Path, head: str, batch: int | None = None) -> OnnxModel:
    graph = compile_text(SPEC.replace("HEAD", head))
    return write_onnx(graph, random_weights(graph), folder, OnnxOptions(batch=batch), fold=True)


def random(count: int) -> Images:
    return Images(np.random.default_rng(0).standard_normal((count, 3, 8, 8), np.float32), f"{count} images")


def quantised(folder: Path, head: str) -> ModelProto:
    return quantise.quantise(model(folder, head).path, random(4), 1)


def quantisers(made: ModelProto) -> tuple[list[str], list[str]]:
    """The kinds of layer that read a dequantised value, and those whose output is quantised."""
    makers = {name: node.op_type for node in made.graph.node for name in node.output}
    reads = [node.op_type for node in made.graph.node for name in node.input if makers.get(name) == "DequantizeLinear"]
    gives = [
        makers[node.input[0]]
        for node in made.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] in makers
    ]
    return sorted(set(reads)), sorted(set(gives))


def test_scores_stay_in_fp32(tmp_path: Path) -> None:
    """Two of them that became the same number of eight bits would have no first."""
    made = quantised(tmp_path, "fc 10")
    reads, gives = quantisers(made)
    assert {"Conv", "Gemm"} <= set(reads)
    assert "Gemm" not in gives
    (last,) = (node for node in made.graph.node if made.graph.output[0].name in node.output)
    assert last.op_type == "Gemm"


def test_a_softmax_stays_in_fp32(tmp_path: Path) -> None:
    """It reads the scores and gives the probabilities without a quantiser on either side."""
    made = quantised(tmp_path, "fc 10 | softmax")
    reads, gives = quantisers(made)
    assert "Softmax" not in reads + gives
    assert "Gemm" not in gives
    (last,) = (node for node in made.graph.node if made.graph.output[0].name in node.output)
    assert last.op_type == "Softmax"
    (scores,) = (node.op_type for node in made.graph.node if last.input[0] in node.output)
    assert scores == "Gemm"


def test_probabilities_below_a_step_of_eight_bits_are_told_apart(tmp_path: Path) -> None:
    """Of 1,000 classes, nearly all lie below 1/510: eight bits would make them all 0."""
    path = tmp_path / "int8.onnx"
    onnx.save(quantised(tmp_path, "fc 1000 | softmax"), str(path))
    from resnetgen.backends.onnxruntime import Device, Session

    (scores,) = Session(path, Device()).run(random(1).data).values()
    assert (scores > 0).all()
    assert len(np.unique(scores)) > 900


@pytest.mark.parametrize(("batch", "count"), [(3, 4), (4, 4), (5, 2), (None, 3)])
def test_an_image_that_fills_a_batch_is_not_counted(batch: int | None, count: int, tmp_path: Path) -> None:
    """4 images in batches of 3 are 4, not 6."""
    whole = model(tmp_path, "fc 10 | softmax", batch).path
    found = measure(whole, whole, random(count), LOWERING)
    assert (found.images, found.same, found.top1) == (count, count, 1.0)
    assert found.summary == f"top-1 of {count} of {count} images as in fp32, cosine 1.000000"


def test_an_image_that_fills_a_batch_has_no_weight(tmp_path: Path) -> None:
    """The last image, repeated to fill a batch of 4, is one of two: the cosine is that of two images."""
    whole = model(tmp_path, "fc 10", 4)
    other = onnx.load(str(whole.path))
    bias = next(one for one in other.graph.initializer if one.name == "head/fc.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.arange(10, dtype=np.float32), bias.name))
    onnx.save(other, str(tmp_path / "other.onnx"))
    data = random(2).data * np.array([1, 40], np.float32).reshape(2, 1, 1, 1)
    found = measure(whole.path, tmp_path / "other.onnx", Images(data, ""), LOWERING)
    single, single_other = model(tmp_path, "fc 10", 2).path, tmp_path / "other2.onnx"
    pair = onnx.load(str(single))
    next(one for one in pair.graph.initializer if one.name == "head/fc.bias").CopyFrom(bias)
    onnx.save(pair, str(single_other))
    wanted = measure(single, single_other, Images(data, ""), LOWERING)
    assert 0.1 < wanted.cosine < 0.999
    assert found.cosine == pytest.approx(wanted.cosine, abs=1e-6)


def test_outputs_that_are_no_scores_have_no_first_class(tmp_path: Path) -> None:
    whole = model(tmp_path, "conv 1x1, 4").path  # channels x 1 x 1 are scores still
    assert measure(whole, whole, random(2), LOWERING).same == 2
    graph = compile_text("use: std\ninput: 3x8x8\nstages: {s: '3x3, 4'}\n")
    image = write_onnx(graph, random_weights(graph), tmp_path, fold=True).path
    found = measure(image, image, random(2), LOWERING)
    assert (found.same, found.top1, found.passed) == (None, None, True)
    assert found.summary == "cosine 1.000000"


@pytest.mark.parametrize("color", [Color.RGB, Color.BGR])
def test_what_makes_numbers_of_bytes_stays_in_fp32(color: Color, tmp_path: Path) -> None:
    """The network begins with what they give: the first value that is quantised is a normalised image."""
    seen = Preprocess(color, 255, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3), None, (8, 8), Interpolation.BILINEAR)
    graph = compile_text(SPEC.replace("HEAD", "fc 10"))
    whole = write_onnx(graph, random_weights(graph), tmp_path, OnnxOptions(embed=seen), fold=True).path
    data = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    made = quantise.quantise(whole, Images(data, ""), 1)
    first = [node.op_type for node in made.graph.node if node.op_type not in ("DequantizeLinear", "Constant")]
    prelude = (
        ["Transpose", "Cast", "Sub", "Mul"] if color is Color.RGB else ["Transpose", "Gather", "Cast", "Sub", "Mul"]
    )
    assert first[: len(prelude) + 2] == [*prelude, "QuantizeLinear", "Conv"]


@pytest.mark.parametrize(("top1", "cosine"), [(0, -1), (1, 1), (0.5, 0)])
def test_shares_and_cosines(top1: float, cosine: float) -> None:
    assert Tolerance(top1, cosine).top1 == top1


@pytest.mark.parametrize(
    ("top1", "cosine", "message"),
    [
        (1.001, 1, "--min-top1: 1.001 is outside 0 to 1"),
        (-0.001, 1, "--min-top1: -0.001 is outside 0 to 1"),
        (1, 1.001, "--min-cosine: 1.001 is outside -1 to 1"),
        (1, -1.001, "--min-cosine: -1.001 is outside -1 to 1"),
        (1, float("nan"), "--min-cosine: nan is outside -1 to 1"),
    ],
)
def test_what_no_share_or_cosine_is(top1: float, cosine: float, message: str) -> None:
    with pytest.raises(Failure) as caught:
        Tolerance(top1, cosine)
    assert (exit_code(caught.value), caught.value.problems[0].message) == (Exit.USAGE, message)
