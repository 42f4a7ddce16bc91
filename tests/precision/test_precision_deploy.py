"""Models of fewer bits on their way to a server, and what predict makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from PIL import Image

from support.helpers import Run
from support.triton_config import differences

TINY = """\
use: std
input: 3x16x16
params: {classes: 4}
preprocess: {color: rgb, divide: 255, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], resize: 18, crop: 16x16}
stages:
  conv1: 8x8 | 3x3, 4 | maxpool 2x2, /2
  head:  1x1 | gap | fc $classes | softmax
"""
TRITON = ("deploy", "tiny.yaml", "--server", "triton", "-o", "repository", "--max-batch", "4")
FOLDER = ("deploy", "tiny.yaml", "--server", "onnxruntime", "-o", "served", "--init", "random-stats")
INT8 = ("--precision", "int8", "--calibrate", "random", "--min-top1", "0.5")
FP16 = ("--precision", "fp16")
MODEL = Path("repository/tiny")


@pytest.fixture(autouse=True)
def _files(run: Run) -> None:
    Path("tiny.yaml").write_text(TINY)
    Image.radial_gradient("L").convert("RGB").save("circle.png")


@pytest.mark.parametrize("precision", [INT8, FP16], ids=["int8", "fp16"])
def test_a_version_of_fewer_bits(precision: tuple[str, ...], run: Run) -> None:
    """Clients see no difference, so it is a version of the same model."""
    assert run(*TRITON).code == 0
    result = run(*TRITON, *precision)
    assert result.code == 0, result.err
    assert f"{precision[1]}: top-1 of " in result.out
    assert "repository/tiny/2/model.onnx" in result.out
    said = {entry.key: entry.value for entry in onnx.load(str(MODEL / "2/model.onnx")).metadata_props}
    assert said["resnetgen.precision"] == precision[1]
    text = (MODEL / "config.pbtxt").read_text()
    for version in (1, 2):
        assert differences(text, "tiny", MODEL / f"{version}/model.onnx") == []


def test_fp16_in_and_out(run: Run) -> None:
    assert run(*TRITON, *FP16, "--fp16-io").code == 0
    text = (MODEL / "config.pbtxt").read_text()
    assert text.count("data_type: TYPE_FP16") == 4  # input, output and two warm-ups
    assert differences(text, "tiny", MODEL / "1/model.onnx") == []
    assert differences(text.replace("FP16", "FP32"), "tiny", MODEL / "1/model.onnx")
    result = run(*TRITON)
    assert result.code == 5
    assert "another input than the new version" in result.err


def test_int8_is_for_a_cpu(run: Run) -> None:
    result = run(*TRITON, *INT8, "--device", "gpu", "--tensorrt", "fp16")
    assert (result.code, "int8 models are for CPUs" in result.err) == (2, True)
    assert not Path("repository").exists()


@pytest.mark.parametrize("precision", [INT8, FP16, (*FP16, "--fp16-io")], ids=["int8", "fp16", "fp16 in and out"])
def test_predicts_as_in_fp32(precision: tuple[str, ...], run: Run) -> None:
    assert run(*FOLDER).code == 0
    (wanted,) = json.loads(run("predict", "served", "circle.png", "--json").out)
    assert run(*FOLDER, *precision).code == 0
    (found,) = json.loads(run("predict", "served", "circle.png", "--json").out)
    assert [one["class"] for one in found["top"]] == [one["class"] for one in wanted["top"]]
    for mine, theirs in zip(found["top"], wanted["top"], strict=True):
        assert mine["probability"] == pytest.approx(theirs["probability"], abs=0.02)
    assert found != wanted
    entry = json.loads(Path("served/manifest.json").read_text())["files"]["model.onnx"]
    assert entry["origin"]["precision"] == precision[1]


def test_a_request_of_fp16(run: Run) -> None:
    assert run(*FOLDER, *FP16, "--fp16-io").code == 0
    result = run("predict", "served", "circle.png", "--request")
    assert (result.code, "takes fp16, which the v2 protocol carries in binary alone" in result.err) == (2, True)
