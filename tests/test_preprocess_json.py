"""preprocess.json, and the same text in a model: the checker and the defaults of a spec, with place and hint."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from msgspec.structs import replace

from resnetgen.backends.images import normalise
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure, Source
from resnetgen.predict import read_folder
from resnetgen.preprocess import Color, Interpolation, Preprocess
from resnetgen.spec.preprocess_keys import parse_preprocess
from support.helpers import Run

PLAIN = Preprocess(Color.RGB, 1, (0, 0, 0), (1, 1, 1), None, (32, 48), Interpolation.BILINEAR)


def parsed(text: str, extent: tuple[int, int] | None = (32, 48)) -> tuple[Preprocess, bool | None]:
    return parse_preprocess(Source("preprocess.json", text), extent)


@pytest.mark.parametrize("resize", [None, 60, (60, 61)])
def test_what_is_written_is_read(resize: Any) -> None:
    for color, mean, std in ((Color.GRAY, (0.5,), (1e-9,)), (Color.BGR, (0, -1e-5, 2e15), (1, 2.5, 3))):
        one = Preprocess(color, 255, mean, std, resize, (32, 30), Interpolation.BICUBIC)
        assert parsed(one.to_json()) == (one, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param('{"color": "rgb"}', PLAIN, id="defaults"),
        pytest.param('{"color":"rgb","mean":null,"std":null,"resize":null,"crop":null}', PLAIN, id="null"),
        pytest.param('{\n\t"color":\t"rgb",\r\n\t"crop": 224\n}\n', replace(PLAIN, crop=(224, 224)), id="one side"),
        pytest.param('\t{"color": "rgb"}\t\n\t', PLAIN, id="tabs around"),
        pytest.param('{"color": "rgb", "crop": "20x30"}', replace(PLAIN, crop=(20, 30)), id="as in a spec"),
        pytest.param('{"color": "rgb", "resize": [50, 60]}', replace(PLAIN, resize=(50, 60)), id="height and width"),
        pytest.param('{"color": "rgb", "divide": 2.55e+2}', replace(PLAIN, divide=255), id="a float"),
        pytest.param('{"c\\u006flor": "r\\u0067b"}', PLAIN, id="escapes"),
    ],
)
def test_what_is_left_out_has_the_defaults_of_a_spec(text: str, expected: Preprocess) -> None:
    assert parsed(text) == (expected, None)


@pytest.mark.parametrize(("text", "embedded"), [("true", True), ("false", False), ("null", None)])
def test_embedded(text: str, embedded: bool | None) -> None:
    assert parsed(f'{{"color": "rgb", "embedded": {text}}}') == (PLAIN, embedded)


WRONG = {
    "null": ("null", "1:1: error[wrong-type]: the preprocessing must be a mapping, not 'null'"),
    "a list": ("[]", "1:1: error[wrong-type]: the preprocessing must be a mapping, not a list"),
    "nothing": ("", "1:1: error[json-syntax]: not JSON: Expecting value"),
    "YAML": ("color: rgb", "1:1: error[json-syntax]: not JSON: Expecting value"),
    "a comma": ('{"color": "rgb"\n"std": 1}', "2:1: error[json-syntax]: not JSON: Expecting ',' delimiter"),
    "cut": ('{"color": "rgb"', "1:16: error[json-syntax]: not JSON: Expecting ',' delimiter"),
    "no color": ('{"crop": 224}', "1:1: error[missing-key]: preprocess has no key 'color'"),
    "another color": ('{"color": "cmyk"}', "1:11: error[wrong-type]: color cannot be 'cmyk'"),
    "a typo": ('{"color": "rgb",\n "means": [1, 2, 3]}', "2:2: error[unknown-key]: unknown key 'means'"),
    "a key twice": (
        '{"color": "rgb", "color": "bgr"}',
        "1:18: error[duplicate-key]: the key 'color' is in one mapping twice",
    ),
    "one mean": ('{"color": "rgb", "mean": 0.5}', "1:26: error[wrong-type]: mean must be a list or empty, not '0.5'"),
    "few means": ('{"color": "rgb", "mean": [1]}', "1:26: error[bad-value]: mean has 1 values; the input has 3"),
    "many means": ('{"color": "gray", "mean": [1, 2]}', "1:27: error[bad-value]: mean has 2 values; the input has 1"),
    "text for a mean": (
        '{"color": "gray", "mean": ["1"]}',
        "1:28: error[wrong-type]: an item of mean must be a number",
    ),
    "NaN": ('{"color": "gray", "mean": [NaN]}', "1:28: error[wrong-type]: an item of mean must be a number, not 'NaN'"),
    "Infinity": ('{"color": "gray", "std": [Infinity]}', "1:27: error[wrong-type]: an item of std must be a number"),
    "a large mean": ('{"color": "gray", "mean": [1e400]}', "1:28: error[bad-value]: mean cannot be 1e400"),
    "std 0": ('{"color": "gray", "std": [0]}', "1:27: error[bad-value]: std cannot be 0"),
    "std below 0": ('{"color": "gray", "std": [-1]}', "1:27: error[bad-value]: std cannot be -1"),
    "divide 0": ('{"color": "rgb", "divide": 0}', "1:28: error[bad-value]: divide cannot be 0"),
    "divide by text": ('{"color": "rgb", "divide": "255"}', "1:28: error[wrong-type]: divide must be a number"),
    "one side in a list": ('{"color": "rgb", "resize": [256]}', "1:28: error[bad-value]: resize cannot be [256]"),
    "three sides": ('{"color": "rgb", "resize": "3x9x9"}', "1:28: error[bad-value]: resize cannot be 3x9x9"),
    "a fraction": ('{"color": "rgb", "resize": 256.5}', "1:28: error[bad-value]: resize cannot be 256.5"),
    "a fraction in a list": ('{"color": "rgb", "crop": [9, 9.0]}', "1:26: error[bad-value]: crop cannot be [9, 9.0]"),
    "no pixel": ('{"color": "rgb", "resize": 0}', "1:28: error[bad-value]: resize cannot be 0"),
    "true": ('{"color": "rgb", "crop": true}', "1:26: error[wrong-type]: crop must be a number, text, a list or empty"),
    "401 digits": (
        f'{{"color": "rgb", "resize": {"9" * 401}}}',
        f"1:28: error[bad-value]: resize cannot be {'9' * 40}... (401 characters)",
    ),
    "5,000 digits": ('{"color": "rgb", "resize": %s}' % ("9" * 5000), "1:28: error[bad-value]: resize cannot be 9999"),
    "a long side": (
        '{"color": "rgb", "resize": [1, 120000000]}',
        "1:28: error[bad-value]: resize cannot be [1, 120000000]",
    ),
    "many pixels": (
        '{"color": "rgb", "crop": [65536, 65536]}',
        "1:26: error[bad-value]: crop cannot be [65536, 65536]",
    ),
    "a crop beyond": (
        '{"color": "rgb", "resize": 32, "crop": 33}',
        "1:28: error[bad-value]: an image resized to 32 is too small for a crop of 33x33",
    ),
    "embedded": ('{"color": "rgb", "embedded": 1}', "1:30: error[wrong-type]: embedded must be true or false or empty"),
}


def test_the_largest_image() -> None:
    """One of 2^27 pixels. Of one pixel more there is none with sides that are within their own limit."""
    assert parsed('{"color": "rgb", "crop": [2048, 65536]}')[0].crop == (2048, 65536)
    assert 3226 * 41605 == (1 << 27) + 2
    with pytest.raises(Failure, match=r"crop cannot be \[3226, 41605\]"):
        parsed('{"color": "rgb", "crop": [3226, 41605]}')


@pytest.mark.parametrize("kind", WRONG)
def test_a_mistake_has_a_place_and_a_hint(kind: str) -> None:
    text, message = WRONG[kind]
    with pytest.raises(Failure) as caught:
        parsed(text)
    assert exit_code(caught.value) is Exit.SPEC
    assert str(caught.value).startswith(f"preprocess.json:{message}")
    assert caught.value.problems[0].hint


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(Failure) as caught:
        parsed('{"color": "rgb", "mean": [1], "std": [0, 1, 1], "divide": -1, "resize": 0}')
    assert [problem.message.split()[0] for problem in caught.value.problems] == ["mean", "std", "divide", "resize"]


def test_a_crop_must_be_said_where_the_model_says_no_size() -> None:
    with pytest.raises(Failure, match=r"\]: the preprocessing has no key 'crop'\n"):
        parsed('{"color": "rgb"}', None)
    assert parsed('{"color": "rgb", "crop": 24}', None)[0].crop == (24, 24)


@pytest.mark.parametrize("text", ["[" * 30_000, '{"a":' * 900 + "1" + "}" * 900], ids=["lists", "mappings"])
def test_nesting_has_a_limit(text: str) -> None:
    with pytest.raises(Failure, match="nested deeper than 32 levels") as caught:
        parsed(text)
    assert exit_code(caught.value) is Exit.LIMIT


# Beside a model, and in it

SPEC = "preprocess: {color: rgb, divide: 255, mean: [0.1, 0.2, 0.3], resize: 36}\n"


@pytest.fixture
def model(run: Run) -> Path:
    Path("net.yaml").write_text(Path("tiny.yaml").read_text() + SPEC)
    assert run("build", "net.yaml").code == 0
    return Path("generated/net/net.onnx")


def test_the_crop_is_the_input_of_the_model(model: Path, run: Run) -> None:
    beside = model.with_name("preprocess.json")
    beside.write_text('{"color": "bgr"}')
    assert read_folder(model.parent).preprocess.crop == (32, 32)
    assert run("build", "net.yaml", "--embed-preprocess").code == 0
    found = read_folder(model.parent)
    assert (found.preprocess.crop, found.embedded) == ((32, 32), True)
    beside.write_text('{"color": "bgr", "embedded": false, "crop": 32}')
    assert not read_folder(model.parent).embedded


@pytest.mark.parametrize("kind", ["null", "one mean", "one side in a list", "401 digits", "a long side", "many pixels"])
def test_a_mistake_beside_a_model(kind: str, model: Path, run: Run) -> None:
    text, message = WRONG[kind]
    model.with_name("preprocess.json").write_text(text)
    result = run("predict", str(model.parent), "a.png")
    assert (result.code, result.out) == (5, "")
    assert result.err.startswith(f"generated/net/preprocess.json:{message}")


def said_in(model: Path, text: str) -> None:
    loaded = onnx.load(model)
    (entry,) = (entry for entry in loaded.metadata_props if entry.key == "resnetgen.preprocess")
    entry.value = text
    onnx.save(loaded, model)


@pytest.mark.parametrize("kind", ["null", "one mean", "401 digits", "a long side"])
def test_a_mistake_in_a_model(kind: str, model: Path, run: Run) -> None:
    text, message = WRONG[kind]
    said_in(model, text)
    result = run("predict", str(model.parent), "a.png")
    assert (result.code, result.out) == (4, "")
    assert result.err.startswith(f"generated/net/net.onnx: metadata resnetgen.preprocess:{message}")


def test_both_have_a_limit(model: Path, run: Run) -> None:
    text = json.dumps({"color": "rgb"}).ljust((1 << 14) + 1)
    said_in(model, text)
    assert run("predict", str(model.parent), "a.png").code == 6
    beside = model.with_name("preprocess.json")
    beside.write_text(text)
    result = run("predict", str(model.parent), "a.png")
    assert result.code == 6
    assert "preprocess.json is larger than 16,384 bytes, the limit for preprocessing" in result.err
    with beside.open("wb") as file:
        file.truncate(6 << 30)
    assert run("predict", str(model.parent), "a.png").code == 6


@pytest.mark.parametrize("kind", ["a folder", "a pipe"])
def test_what_is_not_a_file_is_refused(kind: str, model: Path, run: Run) -> None:
    beside = model.with_name("preprocess.json")
    os.mkfifo(beside) if kind == "a pipe" else beside.mkdir()
    result = run("predict", str(model.parent), "a.png")
    assert result.code == 5
    assert f"it is {kind}, not a file" in result.err


def test_the_largest_and_smallest_numbers_stay_finite() -> None:
    text = '{"color": "rgb", "divide": 1e-9, "mean": [9007199254740992, 0, 0], "std": [1e-9, 1e-9, 1e-9]}'
    (preprocess, _) = parsed(text)
    assert np.isfinite(normalise(np.full((1, 2, 2, 3), 255, np.uint8), preprocess)).all()
