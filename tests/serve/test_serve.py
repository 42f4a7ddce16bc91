"""resnetgen serve and predict --request: tensors of the protocol, and refusals before a server runs.

With real servers: tests/servers/.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from resnetgen.backends.images import load_bytes, load_images
from resnetgen.backends.onnxruntime import Device, Session
from resnetgen.predict import read_served
from resnetgen.preprocess import Color, Interpolation, Preprocess
from resnetgen.serve.protocol_tensors import ANY, RequestError, TensorSpec, classify
from support.helpers import Run

HOW = Preprocess(Color.RGB, 255, (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), 18, (16, 16), Interpolation.BILINEAR)
SPEC = """\
use: std
input: 3x16x16
params: {classes: 4}
preprocess: {color: rgb, divide: 255, mean: [0.4, 0.5, 0.6], std: [0.2, 0.2, 0.3], resize: 18, crop: 16x16}
stages:
  conv1: 16x16 | 3x3, 4
  head:  1x1   | gap | fc $classes | softmax
"""


@pytest.fixture
def served(run: Run) -> Path:
    """A folder as `deploy` writes it, beside two pictures."""
    for seed, name in enumerate(("a.png", "b.png")):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)).save(name)
    Path("net.yaml").write_text(SPEC)
    assert run("deploy", "net.yaml", "--server", "onnxruntime", "-o", "served").code == 0
    return Path("served")


# Requests


@pytest.mark.parametrize("embedded", [False, True])
def test_a_request_matches_the_model(served: Path, run: Run, embedded: bool) -> None:
    options = ("--embed-preprocess",) if embedded else ()
    assert run("deploy", "net.yaml", "--server", "onnxruntime", "-o", "served", *options).code == 0
    result = run("predict", "served", "a.png", "b.png", "--request", "--top", "3")
    assert (result.code, result.err, result.out.count("\n")) == (0, "", 1)
    said = json.loads(result.out)
    (taken,), (given,) = said["inputs"], said["outputs"]
    model = onnxruntime.InferenceSession("served/model.onnx")
    assert given == {"name": model.get_outputs()[0].name, "parameters": {"classification": 3}}
    assert taken["name"] == model.get_inputs()[0].name
    load: Any = load_bytes if embedded else load_images
    wanted = load([Path("a.png"), Path("b.png")], HOW)
    assert taken["datatype"] == ("UINT8" if embedded else "FP32")
    data = np.array(taken["data"], wanted.dtype).reshape(taken["shape"])
    assert np.array_equal(data, wanted)
    assert len(result.out) < wanted.size * 13, "more digits than a float32 has"


def test_a_request_of_an_image_that_cannot_be_read(served: Path, run: Run) -> None:
    Path("broken.png").write_bytes(b"no image")
    result = run("predict", "served", "a.png", "broken.png", "gone.png", "--request")
    assert (result.code, result.out) == (5, "")
    assert "broken.png: it is no image" in result.err
    assert "no such file: gone.png" in result.err


def test_a_request_to_a_fixed_batch(served: Path, run: Run) -> None:
    assert run("deploy", "net.yaml", "--server", "onnxruntime", "-o", "served", "--batch", "2").code == 0
    assert run("predict", "served", "a.png", "b.png", "--request").code == 0
    result = run("predict", "served", "a.png", "--request")
    assert (result.code, result.out, result.err) == (
        2,
        "",
        "error[bad-argument]: a request of 1: the model was built for a batch of 2\n  hint: name 2 images\n",
    )


@pytest.mark.parametrize("option", [("--json",), ("--batch", "1")])
def test_options_that_a_request_excludes(served: Path, run: Run, option: tuple[str, ...]) -> None:
    result = run("predict", "served", "a.png", "--request", *option)
    assert (result.code, result.out) == (2, "")
    assert f"leave out {option[0]}" in result.err


# Tensors

IMAGE = TensorSpec("input", "FP32", (ANY, 3, 2, 2))
ZEROS = [0] * 12


def nested(depth: int) -> list[Any]:
    """Lists in lists, and no number."""
    return [nested(depth - 1)] if depth > 1 else []


def test_numbers_are_taken_flat_and_nested() -> None:
    wanted = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    for data in (wanted.ravel().tolist(), wanted.tolist(), list(range(24))):
        found = IMAGE.read("input", "FP32", [2, 3, 2, 2], data)
        assert found.dtype == np.float32
        assert np.array_equal(found, wanted)
    pixels = TensorSpec("input", "UINT8", (ANY, 2)).read("input", "UINT8", [1, 2], [0, 255.0])
    assert (pixels.dtype, pixels.tolist()) == (np.uint8, [[0, 255]])


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "data", "said"),
    [
        ("data", "FP32", [1, 3, 2, 2], ZEROS, "unexpected input 'data': the model takes 'input'"),
        ("input", "UINT8", [1, 3, 2, 2], ZEROS, "input 'input' has datatype UINT8, the model takes FP32"),
        ("input", "FP32", [1, 3, 2, 3], ZEROS, "has shape [1, 3, 2, 3], the model takes [-1, 3, 2, 2]"),
        ("input", "FP32", [3, 2, 2], ZEROS, "has shape [3, 2, 2], the model takes"),
        ("input", "FP32", [0, 3, 2, 2], [], "has shape [0, 3, 2, 2], the model takes"),
        ("input", "FP32", [-1, 3, 2, 2], ZEROS, "has shape [-1, 3, 2, 2], the model takes"),
        ("input", "FP32", [10**12, 3, 2, 2], ZEROS, "has 12 values, its shape"),
        ("input", "FP32", [1, 3, 2, 2], ZEROS[1:], "has 11 values, its shape [1, 3, 2, 2] holds 12"),
        ("input", "FP32", [1, 3, 2, 2], ["0"] * 12, "are not numbers"),
        ("input", "FP32", [1, 3, 2, 2], [True] * 12, "are not numbers"),
        ("input", "FP32", [1, 3, 2, 2], [[0], [0, 1]], "are not numbers"),
        ("input", "FP32", [1, 3, 2, 2], {"0": 0}, "are not numbers"),
        ("input", "FP32", [1, 3, 2, 2], None, "are not numbers"),
        ("input", "FP32", [1, 3, 2, 2], [10**400, *ZEROS[1:]], "are not numbers"),
        ("input", "FP32", [1, 3, 2, 2], [[0, "0"] * 6], "are not numbers"),
        ("input", "FP32", [1, 3, 2, 2], [[0, True] * 6], "are not numbers"),
        ("input", "FP32", [1, 3, 2, 2], nested(40), "has 0 values, its shape"),
        ("input", "FP32", [1, 3, 2, 2], nested(900), "are not numbers"),
        ("input", "FP32", [1, 3, 2, 2], [1e39, *ZEROS[1:]], "a value outside FP32"),
    ],
)
def test_tensors_that_are_refused(name: str, datatype: str, shape: list[int], data: object, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        IMAGE.read(name, datatype, shape, data)
    assert said in str(caught.value)


@pytest.mark.parametrize("value", [256, -1, 0.5])
def test_values_outside_a_byte(value: float) -> None:
    with pytest.raises(RequestError, match="a value outside UINT8"):
        TensorSpec("input", "UINT8", (1, 2)).read("input", "UINT8", [1, 2], [0, value])


def test_classes() -> None:
    rows = np.array([[[0.25], [0.5], [0.25]], [[1e-9], [0], [7]]], np.float32)
    assert classify(rows, 2, ("cat", "dog", "a:b")).tolist() == [
        ["0.500000:1:dog", "0.250000:0:cat"],
        ["7.000000:2:a:b", "0.000000:0:cat"],
    ]
    assert classify(rows, 9, ())[1].tolist() == ["7.000000:2", "0.000000:0", "0.000000:1"]


def test_tensors_of_a_model(served: Path) -> None:
    session = Session(read_served(served).model, Device())
    assert TensorSpec.of(session.input) == TensorSpec("input", "FP32", (ANY, 3, 16, 16))
    assert [TensorSpec.of(value) for value in session.given] == [TensorSpec("output", "FP32", (ANY, 4))]
    assert TensorSpec.of(session.input).smallest.shape == (1, 3, 16, 16)


# Before it serves


def test_the_extra_is_missing(served: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = run("serve", "served")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(
        "error[unsupported]: models are served by Starlette and uvicorn, which cannot be imported: "
    )
    assert "\n  hint: pip install 'resnetgen[serve]'" in result.err


@pytest.mark.parametrize("name", ["a/b", "\n", "two\nlines", ".", "..", "a" * 257])
def test_invalid_model_names(served: Path, run: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("resnetgen.serve.server._require_libraries", lambda: None)
    result = run("serve", "served", "--name", name)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error[bad-name]: invalid model name in a URL: {name!r}")


def test_a_port_in_use(served: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetgen.serve.server._require_libraries", lambda: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("serve", "served", "--port", str(port))
    assert (result.code, result.out) == (5, "")
    assert result.err == (
        f"error[output]: cannot listen on 127.0.0.1:{port}: Address already in use\n"
        "  hint: --port with another port, or 0 for a free one\n"
    )


def test_no_model(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetgen.serve.server._require_libraries", lambda: None)
    result = run("serve", "gone")
    assert (result.code, result.err.splitlines()[0]) == (5, "error[missing-file]: there is no model in gone")
