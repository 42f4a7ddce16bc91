"""Weights in a file beside the ONNX model: what asks for it gets the same network, and nothing of it stays behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from resnetgen.cli.exits import Exit
from support.helpers import Run

MODEL = Path("generated/tiny/tiny.onnx")
DATA = Path("generated/tiny/tiny.onnx.data")
BUILD = ("build", "tiny.yaml", "--init", "random-stats")


def answer(model: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": np.ones((2, 3, 32, 32), np.float32)})
    return np.asarray(found)


def weights(model: Path) -> dict[str, bytes]:
    return {one.name: numpy_helper.to_array(one).tobytes() for one in onnx.load(model).graph.initializer}


def listed() -> set[str]:
    return set(json.loads((MODEL.parent / "manifest.json").read_text())["files"])


def test_the_same_network(run: Run) -> None:
    assert run(*BUILD).code == 0
    whole, wanted = answer(MODEL), weights(MODEL)
    result = run(*BUILD, "--external-data", "--verify")
    assert result.code == 0, result.err
    assert "tiny.onnx.data" in result.out
    assert MODEL.stat().st_size < DATA.stat().st_size
    assert weights(MODEL) == wanted
    assert np.array_equal(answer(MODEL), whole)
    onnx.checker.check_model(str(MODEL), full_check=True)


def test_every_layer_is_compared(run: Run) -> None:
    assert run(*BUILD, "--external-data").code == 0
    beside = json.loads(run("verify", "tiny.yaml", "--json").out)
    assert run(*BUILD).code == 0
    whole = json.loads(run("verify", "tiny.yaml", "--json").out)
    layers = [[layer["name"] for layer in one["comparisons"][0]["layers"]] for one in (beside, whole)]
    assert layers[0] == layers[1]
    assert len(layers[0]) > 10


def test_a_changed_weight_is_found_in_its_layer(run: Run) -> None:
    assert run(*BUILD, "--external-data").code == 0
    model = onnx.load(MODEL, load_external_data=False)
    (tensor,) = (one for one in model.graph.initializer if one.name == "conv2_x/1/main/conv1.weight")
    offset = next(int(entry.value) for entry in tensor.external_data if entry.key == "offset")
    data = bytearray(DATA.read_bytes())
    data[offset : offset + 4] = np.float32(1e3).tobytes()
    DATA.write_bytes(data)
    result = run("verify", "tiny.yaml")
    assert result.code == Exit.VERIFICATION
    assert "conv2_x/1/main/conv1" in result.err


def test_what_the_next_build_does_not_write_goes(run: Run) -> None:
    assert run(*BUILD, "--external-data").code == 0
    assert listed() == {"tiny.onnx", "tiny.onnx.data"}
    assert run(*BUILD, "--target", "caffe").code == 0
    assert DATA.exists()
    assert "tiny.onnx.data" in listed()
    assert run(*BUILD).code == 0
    assert not DATA.exists()
    assert listed() == {"tiny.onnx", "tiny.prototxt", "tiny.caffemodel"}


@pytest.mark.parametrize("server", ["triton", "onnxruntime"])
def test_servers(run: Run, server: str) -> None:
    result = run("deploy", "tiny.yaml", "--server", server, "-o", "served", "--external-data")
    assert result.code == 0, result.err
    inner = "tiny/1/model.onnx" if server == "triton" else ""
    files = {path.name for path in (Path("served") / inner).iterdir()}
    assert {"model.onnx", "model.onnx.data"} <= files


def test_fp16(run: Run) -> None:
    result = run(*BUILD, "--external-data", "--precision", "fp16", "--calibrate", "random")
    assert result.code == 0, result.err
    assert Path("generated/tiny/tiny-fp16.onnx.data").stat().st_size < 200_000


def test_int8_is_one_file(run: Run) -> None:
    result = run(*BUILD, "--external-data", "--precision", "int8", "--calibrate", "random")
    assert result.code == Exit.USAGE
    assert "an int8 model is one file" in result.err
    assert not MODEL.parent.exists()


def test_it_is_for_onnx(run: Run) -> None:
    result = run(*BUILD, "--external-data", "--target", "caffe")
    assert result.code == Exit.USAGE
    assert "--external-data is for the ONNX model\n  hint: add --target onnx\n" in result.err
