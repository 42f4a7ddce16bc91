"""Warnings of libraries: a user sees our errors alone, whatever a file makes numpy, Pillow or ONNX Runtime warn of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PIL

from support.helpers import Run

# In a test a warning is an exception, which the program would call a bug: exit 70.
pytestmark = pytest.mark.filterwarnings("error")

SPEC = "preprocess: {color: rgb, divide: 255, resize: 36, crop: 32x32}\n"
BUILD = ("build", "net.yaml", "--weights", "x.npz")
INT8 = ("--precision", "int8", "--calibrate")


def weights(run: Run, **values: float) -> None:
    """Write x.npz: random weights of net.yaml, but of each parameter that is named this value."""
    Path("net.yaml").write_text(Path("tiny.yaml").read_text() + SPEC)
    assert run("build", "net.yaml", "--init", "random-stats", "--no-fold").code == 0
    converted = run("weights", "convert", "generated/net/net.onnx", "drawn.npz", "--spec", "net.yaml")
    assert converted.code == 0, converted.err
    arrays = {}
    for name, array in np.load("drawn.npz").items():
        value = values.get(name.rpartition(".")[2], values.get("every"))
        arrays[name] = array if value is None else np.full(array.shape, value, np.asarray(value).dtype)
    np.savez("x.npz", **arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"variance": np.float32(-1)}, "the variance of conv1/norm1 goes down to -1: folded into the convolution"),
        (
            {"gamma": np.float32(3e38)},
            "norm1, folded into the convolution before it, gives weights that float32 cannot",
        ),
        ({"every": np.float32(3e38)}, "conv1/norm1, folded into the convolution before it, gives weights that float32"),
        ({"gamma": np.float64(1e300)}, "x.npz: the tensor 'conv1/norm1.gamma'"),
        ({"mean": np.float32("nan")}, "x.npz: the tensor 'conv1/norm1.mean'"),
    ],
    ids=["negative variance", "a huge scale", "all huge", "beyond float32", "NaN"],
)
@pytest.mark.parametrize("more", [(), ("--precision", "fp16"), (*INT8, "random")], ids=["fp32", "fp16", "int8"])
def test_weights_that_overflow(values: dict[str, Any], message: str, more: tuple[str, ...], run: Run) -> None:
    weights(run, **values)
    result = run(*BUILD, *more)
    assert result.code == 4
    assert message in result.err
    assert not list(Path("generated/net").glob("*int8*"))


def test_weights_that_overflow_are_taken_unfolded(run: Run) -> None:
    weights(run, variance=np.float32(-1))
    assert run(*BUILD, "--no-fold").code == 0
    assert run(*BUILD, "--target", "caffe").code == 0


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["NaN", "Inf"])
def test_weights_that_are_not_finite_are_taken_on_request(value: float, run: Run) -> None:
    weights(run, every=np.float32(value))
    assert run(*BUILD).code == 4
    assert run(*BUILD, "--allow-nonfinite").code == 0


def test_activations_that_overflow_have_no_range(run: Run) -> None:
    weights(run, every=np.float32(1e20))
    result = run(*BUILD, *INT8, "random")
    assert result.code == 4
    assert "error[precision]: ONNX Runtime's quantiser finds no range for the activations" in result.err


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38], ids=["NaN", "Inf", "huge"])
def test_calibration_by_values_that_are_no_images(value: float, run: Run) -> None:
    weights(run)
    np.save("images.npy", np.full((2, 3, 32, 32), value, np.float32))
    result = run(*BUILD, *INT8, "images.npy")
    assert result.code == 4
    finite = np.isfinite(value)
    message = "quantiser finds no range" if finite else "images.npy: its images hold NaN or infinite values"
    assert message in result.err


def test_a_npy_of_python_2(run: Run) -> None:
    weights(run)
    data = np.random.default_rng(0).standard_normal((2, 3, 32, 32), np.float32)
    np.save("images.npy", data)
    content = Path("images.npy").read_bytes()
    Path("images.npy").write_bytes(content.replace(b"(2, 3, 32, 32), }  ", b"(2L, 3, 32, 32), } "))
    result = run("verify", "net.yaml", "--data", "images.npy")
    assert result.code == 0, result.err


def test_images_that_pillow_warns_of(run: Run) -> None:
    weights(run)
    colors = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    image = PIL.fromarray(colors).convert("P")
    image.save("palette.png", transparency=bytes(range(256)))
    PIL.new("L", (10_000, 9_000)).save("large.png")  # beyond Pillow's own limit, at which it warns
    result = run("predict", "generated/net", "palette.png", "large.png")
    assert (result.code, result.err) == (0, "")
