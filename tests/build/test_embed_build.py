"""`build --embed-preprocess` and the companion of a prototxt, as a user meets them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from resnetgen.backends.images import normalise
from resnetgen.cli import main
from resnetgen.spec.load import load_file
from support.helpers import error, on_onnxruntime

TINY = """\
use: std
input: 3x16x16
preprocess: {color: bgr, divide: 255, mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4], resize: 18}
stages: {conv1: "3x3, 8", head: gap | fc 4}
"""
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The exit code and what is said on stderr, in a folder that holds tiny.yaml."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "bare.yaml").write_text(TINY.replace("preprocess:", "# preprocess:"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["resnetgen", *arguments])
        with pytest.raises(SystemExit) as exit:
            main(list(arguments))
        return int(exit.value.code or 0), capsys.readouterr().err

    return call


def metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}


def test_model_takes_bytes_and_is_verified(run: Run) -> None:
    assert run("build", "tiny.yaml", "--output-dir", "plain") == (0, "")
    assert run("build", "tiny.yaml", "--embed-preprocess", "--init", "random-stats", "--verify") == (0, "")
    assert run("verify", "tiny.yaml") == (0, "")
    assert run("verify", "generated/tiny/tiny.onnx") == (0, "")


@pytest.mark.parametrize("more", [(), ("--no-fold",), ("--batch", "2"), ("--opset", "13")])
def test_model_computes_the_same(more: tuple[str, ...], run: Run) -> None:
    assert run("build", "tiny.yaml", "--output-dir", "plain", *more) == (0, "")
    assert run("build", "tiny.yaml", "--embed-preprocess", *more) == (0, "")
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    preprocess = load_file(Path("tiny.yaml")).preprocess
    assert preprocess
    wanted = on_onnxruntime(Path("plain/tiny/tiny.onnx"), normalise(images, preprocess))
    assert error(on_onnxruntime(Path("generated/tiny/tiny.onnx"), images), wanted) < 1e-6  # type: ignore[arg-type]


def test_metadata(run: Run) -> None:
    assert run("build", "tiny.yaml", "--output-dir", "plain") == (0, "")
    assert run("build", "tiny.yaml", "bare.yaml") == (0, "")
    assert run("build", "tiny.yaml", "--embed-preprocess", "--output-dir", "embedded") == (0, "")
    plain, embedded = (metadata(Path(f"{folder}/tiny/tiny.onnx")) for folder in ("plain", "embedded"))
    assert json.loads(plain["resnetgen.preprocess"]) == {
        "color": "bgr",
        "divide": 255,
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.4],
        "resize": 18,
        "crop": [16, 16],
        "interpolation": "bilinear",
    }
    assert embedded == plain | {"resnetgen.embedded": "color divide mean std"}
    assert "resnetgen.preprocess" not in metadata(Path("generated/bare/bare.onnx"))


def test_companion_of_a_prototxt(run: Run) -> None:
    assert run("build", "tiny.yaml", "bare.yaml", "--target", "caffe", "--no-weights") == (0, "")
    folder = Path("generated/tiny")
    said = json.loads((folder / "tiny.preprocess.json").read_text())
    assert (said["color"], said["crop"], said["resize"]) == ("bgr", [16, 16], 18)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    assert set(files) == {"tiny.preprocess.json", "tiny.prototxt"}
    assert files["tiny.preprocess.json"]["origin"] == {}  # it holds no weights
    assert not Path("generated/bare/bare.preprocess.json").exists()


def test_another_input(run: Run) -> None:
    assert run("build", "tiny.yaml", "--embed-preprocess", "--input", "3x32x24", "--verify") == (0, "")
    said = json.loads(metadata(Path("generated/tiny/tiny.onnx"))["resnetgen.preprocess"])
    assert (said["resize"], said["crop"]) == (36, [32, 24])


@pytest.mark.parametrize("targets", [("caffe",), ("onnx", "caffe"), ("ir",)])
def test_only_onnx_can_embed(targets: tuple[str, ...], run: Run) -> None:
    options = [word for target in targets for word in ("--target", target)]
    code, said = run("build", "tiny.yaml", "--embed-preprocess", *options)
    assert code == 2
    assert "--target onnx alone" in said
    assert "<name>.preprocess.json" in said
    assert not Path("generated").exists()


@pytest.mark.parametrize("more", [("bare.yaml",), ("tiny.yaml", "--input", "4x16x16")])
def test_nothing_to_embed(more: tuple[str, ...], run: Run) -> None:
    code, said = run("build", *more, "--embed-preprocess")
    assert code == 3
    image = more[-1] if more[1:] else "3x16x16"
    message = f"of an image {image} the spec says no preprocessing"
    assert said.startswith(f"{more[0]}:1:1: error[missing-key]: {message}\n")
    assert "hint: add `preprocess:`" in said
    assert not Path("generated").exists()
