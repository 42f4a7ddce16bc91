"""Numbers and names that a user gives: the library and the command line refuse the same, before memory is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetgen import ranges
from resnetgen.build.options import Options
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.onnx.precision import Precision
from resnetgen.precision.precision_options import PrecisionOptions, Tolerance
from resnetgen.verification import Settings
from resnetgen.verification.input_images import random_images
from support.helpers import Run

ABSURD = 99999999999999999999
LONG = int("9" * 4000)


@pytest.mark.parametrize("number", [ABSURD, LONG, 10**5000, -1], ids=["absurd", "long", "longer", "negative"])
@pytest.mark.parametrize(
    ("option", "make"),
    [
        ("--batch", lambda number: Options(batch=number)),
        ("--seed", lambda number: Options(seed=number)),
        ("--max-nodes", lambda number: Options(max_nodes=number)),
        ("--batch", lambda number: Settings(batches=(1, number))),
        ("--input-seed", lambda number: Settings(seed=number)),
        ("--seeds", lambda number: Settings(inputs=number)),
        ("--calibration-images", lambda number: PrecisionOptions(Precision.INT8, Tolerance(0.9, 0.9), count=number)),
    ],
)
def test_the_library_refuses(option: str, make: Callable[[int], Any], number: int) -> None:
    with pytest.raises(Failure) as caught:
        make(number)
    assert exit_code(caught.value) is Exit.USAGE
    (problem,) = caught.value.problems
    assert problem.message.startswith(f"{option}: ")
    assert len(problem.message) < 200


@pytest.mark.parametrize(
    "number", [str(ABSURD), "9" * 4000, "9" * 5000, "-1"], ids=["absurd", "long", "longer", "negative"]
)
@pytest.mark.parametrize(
    "args",
    [
        ("build", "tiny.yaml", "--batch"),
        ("build", "tiny.yaml", "--target", "caffe", "--batch"),
        ("build", "tiny.yaml", "--seed"),
        ("build", "tiny.yaml", "--opset"),
        ("build", "tiny.yaml", "--num-classes"),
        ("build", "tiny.yaml", "--max-nodes"),
        ("build", "tiny.yaml", "--precision", "int8", "--calibrate", "random", "--calibration-images"),
        ("deploy", "tiny.yaml", "--server", "onnxruntime", "-o", "served", "--batch"),
        ("verify", "tiny.yaml", "--batch"),
        ("verify", "tiny.yaml", "--seeds"),
        ("verify", "tiny.yaml", "--input-seed"),
        ("predict", "served", "a.png", "--batch"),
        ("predict", "served", "a.png", "--top"),
        ("summary", "tiny.yaml", "--max-nodes"),
    ],
    ids=lambda args: f"{args[0]} {args[-1]}",
)
def test_the_command_line_refuses(args: tuple[str, ...], number: str, run: Run) -> None:
    result = run(*args, number)
    assert (result.code, result.out) == (2, "")


def test_what_is_in_the_range_is_taken(run: Run) -> None:
    assert run("build", "tiny.yaml", "--seed", str(ranges.SEED.largest)).code == 0
    assert run("build", "tiny.yaml", "--target", "caffe", "--no-weights", "--batch", str(2**31 - 1)).code == 0
    assert run("verify", "tiny.yaml", "--input-seed", str(ranges.SEED.largest)).code == 0


@pytest.mark.parametrize("option", ["--batch", "--seeds"])
def test_images_are_counted_before_they_are_drawn(option: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("build", "tiny.yaml").code == 0

    def never(*_: object) -> None:
        raise AssertionError("memory is taken")

    monkeypatch.setattr("resnetgen.verification.input_images.random_images", never)
    result = run("verify", "tiny.yaml", option, "1000000000")
    assert (result.code, result.out) == (6, "")
    assert result.err.splitlines()[0] == (
        "error[limit]: random images: 1,000,000,000 images of 3x32x32 are 3,072,000,000,000 numbers; "
        "the limit is 1,073,741,824"
    )


@pytest.mark.parametrize(
    "args",
    [
        ("--precision", "int8", "--calibrate", "random", "--calibration-images", "1000000000"),
        ("--precision", "fp16", "--calibration-images", "1000000000"),
        ("--precision", "fp16", "--batch", "1000000000"),
        ("--verify", "--batch", "1000000000"),
    ],
)
def test_a_build_takes_no_more_memory_than_it_may(args: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    result = run("build", "tiny.yaml", *args)
    assert (result.code, result.out) == (6, "")
    assert "the limit is 1,073,741,824" in result.err
    assert not list(tmp_path.rglob("*.onnx"))


def test_the_limit_itself_is_allowed() -> None:
    ranges.require_room(1 << 20, (4, 16, 16), "images")
    with pytest.raises(Failure):
        ranges.require_room((1 << 20) + 1, (4, 16, 16), "images")


@pytest.mark.parametrize("option", ["--input-name", "--output-name"])
@pytest.mark.parametrize("name", ["", "\udcff", "two\nlines", "\x1b[31m", "\u202e", "x" * 257, "\0"])
def test_names_that_no_tensor_can_have(option: str, name: str, run: Run, tmp_path: Path) -> None:
    for target in ("onnx", "caffe"):
        result = run("build", "tiny.yaml", option, name, "--target", target)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith(f"error[bad-name]: {option}: ")
        assert result.err.isprintable() or result.err.count("\n") == len(result.err.splitlines())
    with pytest.raises(Failure) as caught:
        Options(**{option[2:].replace("-", "_"): name})
    assert exit_code(caught.value) is Exit.USAGE
    assert not (tmp_path / "generated").exists()


@pytest.mark.parametrize("gate", [(float("nan"), 0.5), (0.5, float("nan")), (1.5, 0.5), (0.5, -2), (-0.1, 0)])
def test_gates_that_nothing_could_pass(gate: tuple[float, float]) -> None:
    with pytest.raises(Failure):
        Tolerance(*gate)


def test_random_images_are_what_they_were() -> None:
    """The control of `never` above: the function is there, and is the one that draws."""
    from resnetgen.verification import input_images

    assert input_images.random_images is random_images
