"""verify's measures of two tensors, and the batch that all backends can be given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure
from resnetgen.preprocess import Color, Interpolation, Preprocess
from resnetgen.verification import Settings
from resnetgen.verification.backends import BackendInfo, SavedOutputs
from resnetgen.verification.compare_backends import compare_backends
from resnetgen.verification.comparison import Distance, is_scores
from resnetgen.verification.input_images import InputFormat, Part, adapted, make_inputs, random_images
from resnetgen.verification.outputs import Values, join, require_numbers

NAMES = ("a", "b")


def distance(found: Any, wanted: Any) -> Distance:
    one = Distance()
    one.add(np.array(found, np.float32), np.array(wanted, np.float32), NAMES)
    return one


@pytest.mark.parametrize(
    ("found", "wanted", "cosine"),
    [
        ([[1, 2]], [[2, 4]], 1),
        ([[1, 2]], [[-1, -2]], -1),
        ([[1, 0]], [[0, 1]], 0),
        ([[0, 0]], [[0, 0]], 1),
        # A backend that is all zero has no direction: it is not "the same direction" as the other.
        ([[0, 0]], [[3, 4]], 0),
        ([[3, 4]], [[0, 0]], 0),
        ([[np.nan, 1]], [[np.nan, 1]], 0),
    ],
)
def test_cosine(found: Any, wanted: Any, cosine: float) -> None:
    assert distance(found, wanted).cosine == pytest.approx(cosine)


def test_a_dead_output_fails_although_the_other_backend_is_not_zero() -> None:
    one = distance([[0, 0]], [[3, 4]])
    assert (one.error, one.mean) == (1, 7 / 2 / 4)
    other = distance([[3, 4]], [[0, 0]])
    assert (other.error, other.mean) == (4, 3.5)


# The batch


@dataclass
class FixedBackend:
    """Doubles its input, a fixed number of images at a time."""

    name: str
    batch: int | None
    ran: list[int] = field(default_factory=list)
    format = InputFormat((2, 1, 1), np.dtype(np.float32))
    tolerance = 1e-4
    folds = False
    norms: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def run(self, part: Part, inner: bool) -> Values:
        assert self.batch in (None, len(part.data))
        self.ran.append(len(part.data))
        return Values({"output": (part.data * 2).reshape(len(part.data), 2)})

    def info(self) -> BackendInfo:
        return BackendInfo(self.name, self.name, "numpy", "here", self.batch)


@pytest.mark.parametrize(
    ("batches", "together"),
    [((None, None), 1), ((None, 4), 4), ((3, 3), 3), ((2, 3), 6), ((4, 6), 12), ((2, 8), 8), ((2, 3, 5), 30)],
)
def test_backends_of_different_batches_run_the_same_images(batches: tuple[int | None, ...], together: int) -> None:
    """The smallest batch that each backend's own divides; each backend takes it in pieces of its own size."""
    backends = [FixedBackend(f"backend{number}", batch) for number, batch in enumerate(batches)]
    report = compare_backends("net", backends, Settings())
    assert report.passed
    assert {(one.batch, one.images) for one in report.comparisons} == {(together, together)}
    for backend in backends:
        assert sum(backend.ran) == together
        assert set(backend.ran) == {backend.batch or together}


def test_a_batch_that_is_no_multiple_of_a_backends_own() -> None:
    with pytest.raises(Failure) as caught:
        compare_backends("net", [FixedBackend("two", 2), FixedBackend("three", 3)], Settings(batches=(3,)))
    (problem,) = caught.value.problems
    assert exit_code(caught.value) is Exit.USAGE
    assert problem.message == "two is fixed to a batch of 2; the number of images, 3, is no multiple of it"
    assert problem.hint == "--batch 2"


# Scores, inputs, values


@pytest.mark.parametrize(
    ("shape", "is_it"),
    [
        ((2, 2), True),
        ((1, 10), True),
        ((3, 2, 1, 1), True),
        ((2, 1), False),
        ((2,), False),
        ((2, 2, 2), False),
        ((1, 1, 10), False),
    ],
)
def test_scores_are_one_number_for_each_of_several_classes(shape: tuple[int, ...], is_it: bool) -> None:
    assert is_scores(np.zeros(shape, np.float32)) is is_it


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_images_follow_from_the_seed(dtype: type[Any]) -> None:
    wanted = InputFormat((3, 4, 5), np.dtype(dtype))
    made = [make_inputs(wanted, (2, 3), Settings(seed=seed), None) for seed in (7, 7, 8)]
    assert [one.data.shape for one in made] == [(3, 3, 4, 5)] * 3  # as many as the largest batch
    assert made[0].digest == made[1].digest != made[2].digest
    assert made[0].origin == "random, seed 7"
    assert np.array_equal(made[0].data, random_images(3, wanted, 7))
    assert make_inputs(wanted, (2,), Settings(inputs=5), None).data.shape[0] == 5


PREPROCESS = Preprocess(Color.RGB, 255, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), None, (2, 2), Interpolation.BILINEAR)


def test_what_one_backend_takes_is_made_of_what_another_takes() -> None:
    """Bytes are normalised, which nothing else is; half of the bits are rounded to."""
    pixels, values = InputFormat((2, 2, 3), np.dtype(np.uint8)), InputFormat((3, 2, 2), np.dtype(np.float32))
    halves = InputFormat((3, 2, 2), np.dtype(np.float16))
    images = Part(4, np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3))
    made = adapted(images, pixels, values, PREPROCESS)
    assert (made.first, made.data.dtype, made.data.shape) == (4, np.float32, (2, 3, 2, 2))
    expected = (images.data.transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25
    assert made.data == pytest.approx(expected, abs=1e-6)
    rounded = adapted(made, values, halves, PREPROCESS)
    assert np.array_equal(rounded.data, made.data.astype(np.float16))
    assert rounded.data.dtype == np.float16
    assert adapted(images, pixels, pixels, PREPROCESS) is images
    assert adapted(images, pixels, None, PREPROCESS) is images


@dataclass
class TakesPixels(FixedBackend):
    """The same for an image of bytes, which it normalises itself."""

    format = InputFormat((1, 1, 3), np.dtype(np.uint8))

    def run(self, part: Part, inner: bool) -> Values:
        values = (part.data.reshape(len(part.data), 3) / 255 - 0.5) / 0.25
        return Values({"output": values.astype(np.float32)})


@dataclass
class TakesNumbers(FixedBackend):
    format = InputFormat((3, 1, 1), np.dtype(np.float32))

    def run(self, part: Part, inner: bool) -> Values:
        return Values({"output": part.data.reshape(len(part.data), 3)})


def test_a_model_that_takes_bytes_and_one_that_takes_numbers_see_the_same_images() -> None:
    preprocess = replace(PREPROCESS, crop=(1, 1))
    backends = [TakesNumbers("numbers", None), TakesPixels("pixels", None)]
    assert compare_backends("net", backends, Settings(inputs=4), preprocess=preprocess).passed
    assert compare_backends("net", backends[::-1], Settings(inputs=4), preprocess=preprocess).passed


def test_a_file_of_other_images(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 8, 8), np.float32))
    with pytest.raises(Failure) as caught:
        make_inputs(InputFormat((3, 4, 4), np.dtype(np.float32)), (1,), Settings(data=(tmp_path / "x.npy",)), None)
    (problem,) = caught.value.problems
    assert problem.message == (
        f"{tmp_path / 'x.npy'}: it has images of (1, 3, 8, 8) of float32; the network takes images of 3x4x4 of float32"
    )


@pytest.mark.parametrize("tolerance", [1e-9, 0.5, 1])
def test_tolerances(tolerance: float) -> None:
    assert Settings(tolerance=tolerance, tolerances={"output": tolerance}).tolerance == tolerance


@pytest.mark.parametrize("given", [{"tolerance": 0}, {"tolerance": 1.01}, {"tolerances": {"output": -1}}])
def test_what_is_no_tolerance(given: dict[str, Any]) -> None:
    with pytest.raises(Failure) as caught:
        Settings(**given)
    assert exit_code(caught.value) is Exit.USAGE
    assert caught.value.problems[0].message.endswith("is not more than 0 and at most 1")


@dataclass
class Adds(FixedBackend):
    """Its output is a little larger than that of the others."""

    def run(self, part: Part, inner: bool) -> Values:
        return Values({"output": super().run(part, inner).outputs["output"] + 0.01})


def test_a_tolerance_of_one_tensor() -> None:
    backends = [FixedBackend("a", None), Adds("b", None)]
    assert not compare_backends("net", backends, Settings()).passed
    assert compare_backends("net", backends, Settings(tolerances={"output": 0.5})).passed
    assert not compare_backends("net", backends, Settings(tolerance=0.5, tolerances={"output": 1e-6})).passed
    (layer,) = compare_backends("net", backends, Settings(tolerances={"output": 0.5})).comparisons[0].layers
    said = layer.to_json()
    assert (said["name"], said["output"], said["tolerance"], said["passed"]) == ("output", True, 0.5, True)
    assert list(said) == ["name", "place", "output", "error", "mean", "cosine", "tolerance", "faults", "passed"]


def test_saved_outputs_alone_verify_nothing(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", output=np.zeros((1, 2), np.float32))
    backends = [SavedOutputs("a.npz", tmp_path / "a.npz"), SavedOutputs("b.npz", tmp_path / "a.npz")]
    with pytest.raises(Failure) as caught:
        compare_backends("net", backends, Settings())
    (problem,) = caught.value.problems
    assert (exit_code(caught.value), problem.code) == (Exit.USAGE, Code.BAD_ARGUMENT)
    assert (problem.message, problem.hint) == ("all backends are saved outputs", "name one that runs")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.array(["a"]), "a tensor of <U1"),
        (["a"], "a list"),
        ({"a": 1}, "a dict"),
        (np.array([1j]), "a tensor of complex128"),
    ],
)
def test_outputs_that_cannot_be_compared(value: object, kind: str) -> None:
    with pytest.raises(Failure) as caught:
        require_numbers("net.onnx", {"good": np.zeros(3), "bad": value})
    (problem,) = caught.value.problems
    assert exit_code(caught.value) is Exit.MODEL
    assert problem.message == f"net.onnx: its output bad is {kind}, which cannot be compared"
    assert problem.hint == "an output is a tensor of numbers, or of bool"


def test_values_of_several_runs_are_joined() -> None:
    first = Values({"o": np.ones((2, 3))}, {"a": np.ones((2, 4)), "b": np.ones((2, 4)), "c": np.ones((2, 4))})
    second = Values({"o": np.zeros((1, 3))}, {"a": np.zeros((1, 4)), "b": np.zeros((1, 5))})
    whole = join("net.onnx", [first, second], [2, 1])
    assert whole.outputs["o"].shape == (3, 3)
    assert list(whole.inner) == ["a"]  # b changes its shape from run to run, and c is computed in one of them only
    assert whole.inner["a"].shape == (3, 4)
