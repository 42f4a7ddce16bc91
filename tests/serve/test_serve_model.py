"""Requests of the v2 protocol as bytes, and what a model answers; without HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnetgen.backends.onnxruntime import Device, Session
from resnetgen.errors import Code, ModelError
from resnetgen.predict import Served
from resnetgen.serve.asgi import RequestError
from resnetgen.serve.limits import MAX_ID, MAX_RANK
from resnetgen.serve.protocol import decode_request
from resnetgen.serve.served_model import ServedModel
from support.deployed import TINY
from support.helpers import Run

INPUT = {"name": "input", "shape": [1, 3, 16, 16], "datatype": "FP32", "data": [0.5] * 768}
LABELS = ("cat", "dog", "hen", "yak")


@pytest.fixture
def model(run: Run) -> ServedModel:
    Path("tiny.yaml").write_text(TINY)
    assert run("deploy", "tiny.yaml", "--server", "onnxruntime", "-o", "served").code == 0
    path = Path("served/model.onnx")
    return ServedModel("tiny", Served(path, LABELS), Session(path, Device()))


def as_bytes(document: object) -> bytes:
    return json.dumps(document).encode()


def ask(model: ServedModel, **fields: Any) -> dict[str, Any]:
    return dict(json.loads(model.infer(as_bytes({"inputs": [INPUT]} | fields))))


def refuse(model: ServedModel, **fields: Any) -> str:
    with pytest.raises(RequestError) as caught:
        ask(model, **fields)
    assert caught.value.status == 400
    return caught.value.text


def test_metadata(model: ServedModel) -> None:
    assert json.loads(json.dumps(model.metadata)) == {
        "name": "tiny",
        "versions": [],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 16, 16]}],
        "outputs": [{"name": "output", "datatype": "FP32", "shape": [-1, 4]}],
    }


def test_an_answer(model: ServedModel) -> None:
    answer = ask(model)
    (output,) = answer.pop("outputs")
    assert answer == {"model_name": "tiny"}
    data = np.full((1, 3, 16, 16), 0.5, np.float32)
    expected = Session(Path("served/model.onnx"), Device()).run(data)["output"]
    assert output.pop("data") == pytest.approx(expected.ravel().tolist())
    assert output == {"name": "output", "shape": [1, 4], "datatype": "FP32"}
    assert ask(model, outputs=[{"name": "output"}]) == ask(model, outputs=[]) == ask(model)


def test_the_id_of_a_request_is_repeated(model: ServedModel) -> None:
    assert ask(model, id="a7")["id"] == "a7"
    assert ask(model, id="")["id"] == ""
    assert refuse(model, id="a" * (MAX_ID + 1)).endswith(f"Expected `str` of length <= {MAX_ID} - at `$.id`")


def test_unknown_fields_are_ignored(model: ServedModel) -> None:
    assert ask(model, parameters={"priority": 1}, other=[{}]) == ask(model)


def test_classes_with_labels(model: ServedModel) -> None:
    (output,) = ask(model, outputs=[{"name": "output", "parameters": {"classification": 2}}])["outputs"]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 2])
    for text in output["data"]:
        _, number, label = text.split(":")
        assert label == LABELS[int(number)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inputs": []}, "0 inputs, the model takes 'input' alone"),
        ({"inputs": [INPUT, INPUT]}, "2 inputs, the model takes 'input' alone"),
        (
            {"inputs": [1]},
            "the body is not a request of the v2 protocol: Expected `object`, got `int` - at `$.inputs[0]`",
        ),
        ({"inputs": [INPUT | {"data": 1}]}, "Expected `array`, got `int` - at `$.inputs[0].data`"),
        ({"inputs": [INPUT | {"shape": [1.5]}]}, "Expected `int`, got `float` - at `$.inputs[0].shape[0]`"),
        ({"inputs": [INPUT | {"shape": [1] * (MAX_RANK + 1)}]}, f"Expected `array` of length <= {MAX_RANK}"),
        ({"inputs": [INPUT | {"name": "data"}]}, "unexpected input 'data'"),
        ({"outputs": [{"name": "prob"}]}, "unexpected output 'prob': the model gives output"),
        ({"outputs": [{"name": "output"}] * 2}, "an output is requested twice"),
        ({"outputs": [{"name": "output", "parameters": {"classification": -1}}]}, "must be a number of classes"),
        ({"outputs": [{"name": "output", "parameters": {"classification": True}}]}, "must be a number of classes"),
        ({"outputs": [{"name": "output", "parameters": {"classification": "2"}}]}, "must be a number of classes"),
    ],
)
def test_requests_that_are_refused(model: ServedModel, fields: Mapping[str, Any], message: str) -> None:
    assert message in refuse(model, **fields)


@pytest.mark.parametrize(
    "body",
    [b"", b"no JSON", b"[]", b"1", b"null", b"{}", b'{"inputs": 1}', b'{"inputs": null}', b"{} {}", b"\xff", b'"\xff"',
     b'{"inputs": [{"name": "\xff"}]}', b"[" * 100_000, b'{"a":' * 100_000, b'{"a": [' + b"[" * 100_000],
)  # fmt: skip
def test_bodies_that_are_no_requests(body: bytes) -> None:
    with pytest.raises(RequestError, match=r"^the body is not a request of the v2 protocol: ") as caught:
        decode_request(body)
    assert caught.value.status == 400


@pytest.mark.parametrize("number", [b"9" * 10_000, b"1e400", b"-1e-400"])
def test_numbers_without_a_type(model: ServedModel, number: bytes) -> None:
    """Large numbers in unknown fields are skipped, and refused where they are values."""
    assert decode_request(b'{"inputs": [], "other": %s}' % number).inputs == []
    body = as_bytes({"inputs": [INPUT]}).replace(b"[0.5,", b"[%s," % number)
    if number.startswith(b"-"):
        assert model.infer(body)
    else:
        with pytest.raises(RequestError):
            model.infer(body)


def test_errors_of_the_model_are_not_the_clients(model: ServedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_finite(_: object) -> dict[str, Any]:
        return {"output": np.array([[1, np.nan, 0, 0]], np.float32)}

    def broken(_: object) -> dict[str, Any]:
        raise ModelError.of(Code.BAD_MODEL, "it broke")

    for run, message in ((not_finite, "output 'output' has NaN or infinite values"), (broken, "it broke")):
        monkeypatch.setattr(model._session, "run", run)
        with pytest.raises(RequestError, match=message) as caught:
            ask(model)
        assert caught.value.status == 500


def test_texts_of_errors_are_short_and_printable() -> None:
    assert RequestError("\x1b" * 100_000).text.isprintable()
    assert len(RequestError("a" * 100_000).text) < 1000
