"""verify: the images that it runs: random ones, arrays, pictures, and how many at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.verification import Settings
from resnetgen.weights.initialise import Init
from support.verified import TINY, check, refused

# What is compared


def test_batches_and_images(folder: Path) -> None:
    report = check(batches=(1, 4), inputs=6)
    assert [(one.batch, one.images) for one in report.comparisons] == [(1, 6), (4, 6)]
    assert [one.agreement and one.agreement.top1 for one in report.comparisons] == [6, 6]


def test_a_fixed_batch(folder: Path) -> None:
    build(["tiny.yaml"], Options(init=Init.RANDOM_STATS, batch=2, output_dir=folder / "two"))
    two = str(folder / "two/tiny/tiny.onnx")
    assert check(word=two).comparisons[0].images == 2
    assert check("onnxruntime", two, batches=(4,)).passed
    failure = refused("onnxruntime", two, batches=(3,))
    assert (exit_code(failure), failure.problems[0].hint) == (Exit.USAGE, "--batch 2")
    assert "is fixed to a batch of 2; the number of images, 3, is no multiple of it" in str(failure)


def test_given_images(folder: Path) -> None:
    random = np.random.default_rng(1)
    np.save("one.npy", random.standard_normal((3, 16, 16), np.float32))
    np.savez("four.npz", images=random.standard_normal((4, 3, 16, 16), np.float32))
    report = check(data=(Path("one.npy"), Path("four.npz")))
    assert report.passed
    assert (report.inputs, report.comparisons[0].images) == ("one.npy, four.npz", 5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: np.save("x.npy", np.zeros((1, 3, 8, 8), np.float32)),
            "the network takes images of 3x16x16 of float32",
        ),
        (lambda: np.save("x.npy", np.zeros((1, 3, 16, 16))), "of float64; the network takes"),
        (lambda: np.save("x.npy", np.zeros((0, 3, 16, 16), np.float32)), "it has images of (0, 3, 16, 16)"),
        (lambda: np.save("x.npy", np.array([{}]), allow_pickle=True), "it is no .npy file"),
        (lambda: Path("x.npy").write_bytes(b"PK\3\4 no zip"), "it is no .npy file"),
        (lambda: Path("x.npy").write_bytes(b""), "it is no .npy file"),
        (lambda: Path("x.npz").write_bytes(b"PK\3\4 no zip"), "x.npz"),
        (lambda: np.savez("x.npz", a=np.zeros(1), b=np.zeros(1)), "it has 2 arrays, not one: a, b"),
        (lambda: None, "no such file: x.npy"),
        (lambda: Path("x.jpg").write_bytes(b""), "nothing says how this network is to see a picture"),
    ],
)
def test_bad_images(folder: Path, make: Callable[[], object], message: str) -> None:
    make()
    (path,) = [*folder.glob("x.*")] or [Path("x.npy")]
    failure = refused(data=(Path(path.name),))
    assert message in str(failure)
    assert exit_code(failure) in (Exit.MODEL, Exit.IO, Exit.USAGE)


def test_an_array_takes_no_more_memory_than_its_file(folder: Path) -> None:
    """A header that claims a terabyte, and one whose file ends too early."""
    np.save("x.npy", np.zeros(100, np.float32))
    whole = Path("x.npy").read_bytes()
    claims = whole.replace(b"(100,), }" + b" " * 9, b"(250000000000,), }")
    assert len(claims) == len(whole)
    for data in (claims, whole[:-1], whole[:70]):
        Path("x.npy").write_bytes(data)
        assert "only a part of one" in str(refused(data=(Path("x.npy"),)))


# Pictures

PICTURES = "preprocess: {color: bgr, mean: [104, 117, 123], resize: 20, crop: 16}\n"


def test_pictures_and_a_model_that_takes_bytes(folder: Path) -> None:
    """The spec says how a picture is seen. What one model does itself, the others are given done, by numpy."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save("a.png")
    failure = refused(data=(Path("a.png"),))
    assert "nothing says how this network is to see a picture" in str(failure)
    (folder / "tiny.yaml").write_text(TINY + PICTURES)
    build(["tiny.yaml"], Options(init=Init.RANDOM_STATS))
    assert check(data=(Path("a.png"),)).passed
    report = build(
        ["tiny.yaml"],
        Options(init=Init.RANDOM_STATS, embed_preprocess=True, output_dir=folder / "e", verify=Settings()),
    )
    assert report[0].report
    embedded = "e/tiny/tiny.onnx"
    assert check("onnxruntime", embedded, data=(Path("a.png"),)).passed
    assert check(embedded, "onnxruntime", "reference", batches=(3,)).passed
    (folder / "tiny.yaml").write_text(TINY + PICTURES.replace("bgr", "rgb"))
    build(["tiny.yaml"], Options(init=Init.RANDOM_STATS))
    first = check("onnxruntime", embedded, data=(Path("a.png"),)).first_difference
    assert first
    assert first.place == "tiny.yaml:5"
