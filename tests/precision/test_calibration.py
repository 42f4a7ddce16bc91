"""--precision: the images that a model is fitted to, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.precision import calibration
from resnetgen.precision.calibration import Images
from resnetgen.precision.plan import Fp32Plan, plan_precision
from resnetgen.precision.precision_options import TOLERANCES, Precision, PrecisionOptions
from support.helpers import Run
from support.precision_builds import BUILD, SEEN, TINY, WANTED, pictures, written


@pytest.fixture(autouse=True)
def _spec(run: Run) -> None:
    Path("tiny.yaml").write_text(TINY)


# Images


def test_evenly_from_a_folder(run: Run) -> None:
    """Not the first ones, which are often of one class."""
    pictures("images", 10)
    found = calibration.load(Path("images"), 3, WANTED, SEEN)
    assert found.origin == "3 of the 10 images of images/"
    assert found.data[:, 0, 0, 0].tolist() == [0, 3, 6]
    (first, *_) = found.batches(1)
    assert first[0, :, 5, 5] == pytest.approx((np.array([0, 255, 7]) / 255 - 0.5) / 0.25)


def test_the_last_batch_is_filled() -> None:
    data = np.arange(5, dtype=np.float32).reshape(5, 1)
    assert [batch.ravel().tolist() for batch in Images(data, "").batches(2)] == [[0, 1], [2, 3], [4, 4]]


def test_every_broken_image_is_named(run: Run) -> None:
    pictures("images", 3)
    for name in ("a.jpg", "b.png"):
        Path(f"images/{name}").write_bytes(b"no image")
    result = run(*BUILD, "--precision", "int8", "--calibrate", "images")
    assert result.code == Exit.IO
    assert [name in result.err for name in ("images/a.jpg: it is no image", "images/b.png: it is no image")] == [
        True
    ] * 2
    assert not Path("generated").exists()


REFUSED: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no images": (("--precision", "int8"), 2, "add --calibrate FOLDER, or --calibrate random"),
    "images of fp32": (("--calibrate", "random"), 2, "--calibrate is for a precision below fp32"),
    "a gate of fp32": (("--min-top1", "0.5"), 2, "--min-top1 is for a precision below fp32"),
    "fp16 around int8": (("--precision", "int8", "--calibrate", "random", "--fp16-io"), 2, "--fp16-io is for"),
    "no such folder": (("--precision", "int8", "--calibrate", "none"), 5, "none does not exist"),
    "a file": (("--precision", "int8", "--calibrate", "tiny.yaml"), 5, "tiny.yaml is no folder"),
    "an empty folder": (("--precision", "int8", "--calibrate", "."), 5, "there are no images in ."),
    "external data": (
        ("--precision", "int8", "--calibrate", "random", "--external-data"),
        2,
        "an int8 model is one file, as ONNX Runtime's quantiser writes it\n  hint: leave out --external-data",
    ),
    "an old opset": (("--precision", "int8", "--calibrate", "random", "--opset", "12"), 2, "--opset 13 or above"),
    "an old runtime": (
        ("--precision", "int8", "--calibrate", "random", "--runtime", "ort-1.4"),
        2,
        "int8 needs opset 13, ort-1.4 loads 12 at most\n  hint: the oldest that can: --runtime ort-1.6 or triton-",
    ),
    "unfolded": (("--precision", "fp16", "--no-fold"), 2, "a precision below fp32 needs folded norms"),
    "caffe alone": (("--precision", "fp16", "--target", "caffe"), 2, "add --target onnx"),
    "other arrays": (("--precision", "fp16", "--calibrate", "x.npy"), 4, "x.npy: it has images of (1, 3, 8, 8)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, run: Run) -> None:
    np.save("x.npy", np.zeros((1, 3, 8, 8), np.float32))
    options, code, said = REFUSED[case]
    result = run(*BUILD, *options)
    assert (result.code, said in result.err) == (code, True), result.err
    assert written() == ["x.npy"]


def test_pictures_without_preprocessing(run: Run) -> None:
    pictures("images", 1)
    Path("tiny.yaml").write_text("".join(line for line in TINY.splitlines(True) if "preprocess" not in line))
    result = run(*BUILD, "--precision", "int8", "--calibrate", "images")
    assert result.code == Exit.USAGE
    assert "--calibrate images: nothing says how this network is to see a picture" in result.err


def test_too_large_for_the_quantiser(monkeypatch: pytest.MonkeyPatch) -> None:
    """With external data, which a plan says: the limit is a protobuf's."""
    from resnetgen.formats.onnx.write import OnnxOptions, plan
    from support.helpers import compile_text, random_weights

    graph = compile_text(TINY)
    options = OnnxOptions()
    whole = Fp32Plan(graph, random_weights(graph), plan(graph, options, limit=100), options)
    with pytest.raises(Failure) as caught:
        plan_precision(PrecisionOptions(Precision.INT8, TOLERANCES[Precision.INT8]), whole, None)
    assert exit_code(caught.value) is Exit.LIMIT
    assert (
        plan_precision(PrecisionOptions(Precision.FP16, TOLERANCES[Precision.FP16]), whole, None).images.origin
        == "16 random images"
    )
