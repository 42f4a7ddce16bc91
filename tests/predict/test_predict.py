"""resnetgen predict: what it says is what ONNX Runtime computes of what the spec says; and what it refuses."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image as PIL

from resnetgen.backends.images import load_bytes, load_images
from resnetgen.backends.onnxruntime import Device
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.predict import Classifier, predict, read_folder
from resnetgen.preprocess import Color, Interpolation, Preprocess
from support.helpers import Run

HOW = Preprocess(Color.BGR, 255, (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), 36, (32, 32), Interpolation.BILINEAR)
PREPROCESS = (
    "preprocess: {color: bgr, divide: 255, mean: [0.4, 0.5, 0.6], std: [0.2, 0.2, 0.3], resize: 36, crop: 32x32,"
    " interpolation: bilinear}\n"
)
SPEC = f"""\
use: std
input: 3x32x32
params: {{classes: 10}}
{PREPROCESS}stages:
  conv1: 32x32 | 3x3, 8, bias | relu
  head:  1x1   | gap | fc $classes SOFTMAX
"""
LABELS = [f"label {number}" for number in range(10)]
Build = Callable[..., Path]


@pytest.fixture
def build(run: Run) -> Build:
    """A folder as `build` writes it, beside five pictures, a.png to e.png."""
    for seed, name in enumerate("abcde"):
        pixels = np.random.default_rng(seed).integers(0, 256, (40 + seed, 50, 3), np.uint8)
        PIL.fromarray(pixels).save(f"{name}.png")

    def call(*args: str, softmax: bool = True) -> Path:
        Path("net.yaml").write_text(SPEC.replace("SOFTMAX", "| softmax" if softmax else ""))
        result = run("build", "net.yaml", "--init", "random-stats", *args)
        assert result.code == 0, result.err
        return Path("generated/net")

    return call


def served(built: Path, embedded: bool = False) -> Path:
    """A folder as `deploy --server onnxruntime` writes it."""
    folder = Path("served")
    folder.mkdir()
    shutil.copy(built / "net.onnx", folder / "model.onnx")
    said = json.loads(HOW.to_json()) | {"embedded": embedded}
    (folder / "preprocess.json").write_text(json.dumps(said))
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    return folder


def wanted(model: Path, *names: str, embedded: bool = False) -> np.ndarray:
    """Probabilities by ONNX Runtime itself, softmax written from its definition."""
    paths = [Path(name) for name in names]
    data = load_bytes(paths, HOW) if embedded else load_images(paths, HOW)
    (output,) = onnxruntime.InferenceSession(model).run(None, {"input": data})
    powers = np.exp(output.astype(np.float64))
    ends = onnx.load(model).graph.node[-1].op_type
    return output if ends == "Softmax" else powers / powers.sum(axis=1, keepdims=True)


def found(run: Run, folder: Path, *args: str) -> list[dict[str, Any]]:
    result = run("predict", str(folder), *args, "--top", "10", "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


def spread(prediction: dict[str, Any]) -> np.ndarray:
    """The probabilities by class."""
    top = prediction["top"]
    assert [guess["probability"] for guess in top] == sorted((guess["probability"] for guess in top), reverse=True)
    by_class = {guess["class"]: guess["probability"] for guess in top}
    return np.array([by_class[number] for number in range(10)])


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("embedded", [False, True])
def test_same_as_onnxruntime(softmax: bool, embedded: bool, build: Build, run: Run) -> None:
    built = build(*(["--embed-preprocess"] if embedded else []), softmax=softmax)
    expected = wanted(built / "net.onnx", "a.png", "b.png", "c.png", embedded=embedded)
    for folder in (built, served(built, embedded)):
        predictions = found(run, folder, "a.png", "b.png", "c.png")
        assert [one["image"] for one in predictions] == ["a.png", "b.png", "c.png"]
        np.testing.assert_allclose([spread(one) for one in predictions], expected, rtol=1e-4)


@pytest.mark.parametrize("batch", ["1", "2", "5", "9"])
def test_batches(batch: str, build: Build, run: Run) -> None:
    built = build()
    names = [f"{name}.png" for name in "abcde"]
    predictions = found(run, built, *names, "--batch", batch)
    np.testing.assert_allclose(list(map(spread, predictions)), wanted(built / "net.onnx", *names), rtol=1e-4)


def test_a_fixed_batch_is_filled(build: Build, run: Run) -> None:
    expected = wanted(build() / "net.onnx", "a.png", "b.png", "c.png")
    built = build("--batch", "2")
    np.testing.assert_allclose(list(map(spread, found(run, built, "a.png", "b.png", "c.png"))), expected, rtol=1e-4)
    result = run("predict", str(built), "a.png", "--batch", "3")
    assert (result.code, result.err) == (
        2,
        "error[bad-argument]: --batch 3: the model was built for a batch of 2\n  hint: leave out --batch\n",
    )


def test_labels_and_text(build: Build, run: Run) -> None:
    folder = served(build())
    result = run("predict", str(folder), "a.png", "--top", "2")
    (best, *_) = found(run, folder, "a.png")
    number = int(np.argmax(spread(best)))
    lines = result.out.splitlines()
    assert lines[0] == "a.png"
    assert lines[1] == f"  {spread(best)[number]:.4f}  {number}  label {number}"
    assert len(lines) == 3


def test_a_softmax_behind_which_stands_a_cast(build: Build, run: Run) -> None:
    built = build()
    expected = wanted(built / "net.onnx", "a.png")
    model = onnx.load(built / "net.onnx")
    model.graph.node[-1].output[0] = "probabilities"
    model.graph.node.append(onnx.helper.make_node("Cast", ["probabilities"], ["output"], to=onnx.TensorProto.FLOAT))
    onnx.save(model, built / "net.onnx")
    np.testing.assert_allclose(spread(found(run, built, "a.png")[0]), expected[0], rtol=1e-4)


def test_what_deploy_wrote(build: Build, run: Run) -> None:
    expected = wanted(build() / "net.onnx", "a.png")
    Path("names").write_text("".join(f"{label}\n" for label in LABELS))
    for embedded in ((), ("--embed-preprocess",)):
        folder = f"deployed{len(embedded)}"
        options = ("--server", "onnxruntime", "-o", folder, "--labels", "names", "--init", "random-stats", *embedded)
        result = run("deploy", "net.yaml", *options)
        assert result.code == 0, result.err
        (prediction,) = found(run, Path(folder), "a.png")
        np.testing.assert_allclose(spread(prediction), expected[0], rtol=1e-4)
        assert {guess["label"] for guess in prediction["top"]} == set(LABELS)


# Bad input


def test_a_broken_image_among_good_ones(build: Build, run: Run) -> None:
    built = build()
    Path("broken.png").write_bytes(Path("a.png").read_bytes()[:200])
    for batch in ("1", "4"):
        result = run("predict", str(built), "a.png", "broken.png", "gone.png", "b.png", "--batch", batch)
        assert result.code == 5
        assert [line for line in result.out.splitlines() if not line.startswith(" ")] == ["a.png", "b.png"]
        assert result.err.count("broken.png: it is a broken image") == 1
        assert result.err.count("no such file: gone.png") == 1
    result = run("predict", str(built), "broken.png", "--json")
    assert (result.code, json.loads(result.out)) == (5, [])


def refused(run: Run, folder: Path, *args: str) -> tuple[int, str]:
    result = run("predict", str(folder), "a.png", *args)
    assert result.out == ""
    return result.code, result.err.splitlines()[0]


def test_no_model(build: Build, run: Run) -> None:
    built = build()
    assert refused(run, Path("gone")) == (5, "error[missing-file]: there is no model in gone")
    shutil.copy(built / "net.onnx", built / "other.onnx")
    assert refused(run, built) == (
        2,
        "error[bad-argument]: generated/net holds several models: net.onnx, other.onnx",
    )


def test_no_onnx_model(build: Build, run: Run) -> None:
    built = build()
    for content in (b"", b"text", (built / "net.onnx").read_bytes()[:300]):
        (built / "net.onnx").write_bytes(content)
        code, text = refused(run, built)
        assert (code, text[:16]) == (4, "error[bad-model]")


def test_no_preprocessing(run: Run, build: Build) -> None:
    build()  # for its pictures; tiny.yaml says nothing of them
    assert run("build", "tiny.yaml").code == 0
    code, text = refused(run, Path("generated/tiny"))
    assert code == 2
    assert "nothing says how this network is to see a picture" in text


def test_a_preprocessing_of_another_model(run: Run, build: Build) -> None:
    folder = served(build())
    (folder / "preprocess.json").write_text(json.dumps(json.loads(HOW.to_json()) | {"crop": [30, 32]}))
    assert refused(run, folder) == (
        4,
        "error[bad-model]: served/model.onnx takes images of 3x32x32, the preprocessing makes them 3x30x32",
    )


@pytest.mark.parametrize("count", [0, 9, 11])
def test_labels_of_the_wrong_count(count: int, run: Run, build: Build) -> None:
    folder = served(build())
    (folder / "labels.txt").write_text("cat\n" * count)
    code, text = refused(run, folder)
    assert code == 5
    assert "error[labels]" in text
    assert f"{count} labels for 10 classes (model.onnx)" in text


def test_pillow_is_missing(run: Run, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build()
    monkeypatch.setitem(sys.modules, "PIL", None)
    result = run("predict", str(built), "a.png", "b.png")
    assert (result.code, result.out) == (2, "")
    assert result.err.count("resnetgen[images]") == 1


def test_an_output_of_nan(build: Build) -> None:
    built = build(softmax=False)
    model = onnx.load(built / "net.onnx")
    for tensor in model.graph.initializer:
        if tensor.name.endswith("fc.bias"):
            tensor.raw_data = np.full(10, np.nan, np.float32).tobytes()
    onnx.save(model, built / "net.onnx")
    with pytest.raises(Failure, match="NaN or Inf") as caught:
        predict(Classifier(read_folder(built), Device()), [Path("a.png")])
    assert exit_code(caught.value) is Exit.MODEL
