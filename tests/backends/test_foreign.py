"""ONNX models that others wrote: every command ends with a documented exit code and one error, none by a signal."""

from __future__ import annotations

import gc
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnetgen.backends.onnxruntime import Device, Session
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.predict import Classifier, read_folder, request
from resnetgen.predict import predict as classify
from resnetgen.verification import Settings
from resnetgen.verification.comparison import Agreement, Distance
from resnetgen.verification.verify import Verified, verify_files
from support.foreign_models import CLASSES, MODELS, content
from support.helpers import Run
from support.processes import Program, warm_program

MAY_CRASH = {
    "strings",
    "scores_and_strings",
    "strings_inside",
    "untyped_inside",
    "sequence",
    "optional",
    "maps",
    "int4",
}
"""Run in a process of their own: of such values the engine's binding has crashed."""
EQUAL, BAD, LARGE, DIFFERENT, USAGE = 0, Exit.MODEL, Exit.LIMIT, Exit.VERIFICATION, Exit.USAGE
CODES: dict[str, tuple[int, int]] = {
    # Other outputs than scores: what verify says, and predict
    **dict.fromkeys(("strings", "bfloat16", "float8", "int4", "scores_and_strings"), (BAD, BAD)),
    **dict.fromkeys(("sequence", "optional", "maps"), (BAD, BAD)),
    **dict.fromkeys(("bools", "uint8", "argmax", "scalar", "flat", "one_class"), (EQUAL, BAD)),
    **dict.fromkeys(("empty", "no_classes", "feature_map", "two_outputs"), (EQUAL, BAD)),
    **dict.fromkeys(("float16", "double", "unknown_shape", "scores_of_one_pixel"), (EQUAL, EQUAL)),
    # Numbers
    **dict.fromkeys(("infinite", "nan"), (DIFFERENT, BAD)),
    "huge": (EQUAL, BAD),
    "tiny": (EQUAL, EQUAL),
    # Inside
    **dict.fromkeys(("rank0", "batch_dynamic", "batch_one", "strings_inside", "bfloat16_inside"), (EQUAL, EQUAL)),
    **dict.fromkeys(("float8_inside", "sequence_inside", "untyped_inside", "branches"), (EQUAL, EQUAL)),
    **dict.fromkeys(("weights_as_inputs", "weights_as_constants", "no_floats_inside"), (EQUAL, EQUAL)),
    # Inputs
    **dict.fromkeys(("input_of_strings", "input_of_integers", "input_scalar", "input_sequence"), (BAD, BAD)),
    **dict.fromkeys(("no_input", "two_inputs", "input_of_no_size", "input_of_negative_size"), (BAD, BAD)),
    "batch_of_none": (BAD, BAD),
    "input_of_bytes": (EQUAL, BAD),
    "input_of_any_size": (BAD, EQUAL),
    "input_of_absurd_size": (LARGE, BAD),
    "batch_absurd": (LARGE, LARGE),
    # Names and texts
    "node_name_of_bytes": (EQUAL, EQUAL),
    "tensor_name_of_bytes": (BAD, EQUAL),
    "output_name_of_bytes": (BAD, BAD),
    "size_name_of_bytes": (BAD, BAD),
    "texts_of_bytes": (EQUAL, EQUAL),
    "metadata_of_another": (BAD, EQUAL),
    "names_that_drive_a_terminal": (EQUAL, EQUAL),
    # What is wrong, and what is too much
    **dict.fromkeys(("unknown_op", "unknown_domain", "opset_of_tomorrow", "another_type_than_declared"), (BAD, BAD)),
    **dict.fromkeys(("circle", "missing_tensor", "no_output", "output_that_no_node_makes"), (BAD, BAD)),
    **dict.fromkeys(("calls_itself", "division_by_zero", "external_data_elsewhere"), (BAD, BAD)),
    **dict.fromkeys(("external_data_missing", "truncated", "text", "nothing"), (BAD, BAD)),
    "terabytes": (LARGE, LARGE),
}
PREPROCESS = {"color": "rgb", "divide": 255, "mean": [0.5] * 3, "std": [0.2] * 3, "resize": None, "crop": [8, 8]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(pixels).save("a.png")
    return tmp_path


def put(name: str) -> None:
    """A folder of one model, as `predict` takes it, and the model below another name."""
    Path("served").mkdir(exist_ok=True)
    Path("served/model.onnx").write_bytes(content(name))
    Path("copy.onnx").write_bytes(content(name))
    Path("served/preprocess.json").write_text(json.dumps(PREPROCESS | {"interpolation": "bilinear"}))


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    modules = ("onnx", "onnxruntime", "PIL.Image", "resnetgen.predict", "resnetgen.verification.verify")
    with warm_program(*modules, warnings="error::RuntimeWarning") as program:
        yield program


def test_every_model_has_its_codes() -> None:
    assert CODES.keys() == MODELS.keys()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("name", MODELS)
def test_exit_codes(name: str, folder: Path, run: Run, program: Program) -> None:
    put(name)
    verified, predicted = CODES[name]
    two = ("--on", "onnxruntime", "--on", "copy.onnx", "--batch", "3")
    for code, args in (
        (verified, ("verify", "served/model.onnx", "--layers")),
        (None, ("verify", "served/model.onnx", *two)),
        (predicted, ("predict", "served", "a.png", "a.png")),
        (None, ("predict", "served", "a.png", "--request")),
        (None, ("weights", "show", "served/model.onnx")),
        (None, ("build", "tiny.yaml", "--weights", "served/model.onnx")),
    ):
        # No engine runs for the last two.
        result = (program if name in MAY_CRASH and args[0] in ("verify", "predict") else run)(*args)
        assert result.code in ({0, 2, 3, 4, 5, 6, 7} if code is None else {code}), (args, result.err)
        assert result.err.count("error[") >= (result.code != 0), args
        assert all(line.startswith(("error", "warning", " ", "...")) for line in result.err.splitlines()), result.err
        shown = (result.out + result.err).replace("\n", "")
        assert "\x1b" not in shown
        assert len(shown) < 200_000


def test_sizes_inside_are_passed_over_and_counted(folder: Path, run: Run) -> None:
    put("rank0")
    result = run("verify", "served/model.onnx")
    assert result.code == 0
    line = "7 inner tensors are not compared: not float, or without the batch"
    assert [text for text in result.out.splitlines() if "inner tensors" in text] == [
        f"reference: {line}",
        f"onnxruntime:cpu: {line}",
    ]
    report = json.loads(run("verify", "served/model.onnx", "--json").out)
    assert [backend["not_compared"] for backend in report["backends"]] == [7, 7]
    assert {layer["name"] for layer in report["comparisons"][0]["layers"]} == {"conv", "relu", "pool", "flat", "scores"}


def test_a_fixed_batch_in_pieces_against_a_dynamic_one(folder: Path) -> None:
    """The value of Shape is no tensor of images: it is not joined over the pieces."""
    Path("dynamic.onnx").write_bytes(content("batch_dynamic"))
    Path("one.onnx").write_bytes(content("batch_one"))
    report = verify_files(Verified("dynamic.onnx", ("onnxruntime", "one.onnx")), Settings(batches=(3,)))
    assert report.passed
    assert len(report.comparisons[0].layers) == 5


@pytest.mark.filterwarnings("error")
def test_a_session_that_never_runs_removes_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    put("rank0")
    session = Session(Path("copy.onnx"), Device())
    assert list(folder.glob("resnetgen-profile-*"))
    del session
    gc.collect()
    assert not list(folder.glob("resnetgen-profile-*"))


def test_a_difference_inside_a_foreign_model_still_fails(folder: Path) -> None:
    """The control: what is compared is compared."""
    Path("whole.onnx").write_bytes(content("rank0"))
    from onnx import numpy_helper

    from support.foreign_models import MODELS as made

    changed: Any = made["rank0"]()
    weight = changed.graph.initializer[0]
    values = numpy_helper.to_array(weight).copy()
    values[0, 0, 0, 0] += 1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    Path("changed.onnx").write_bytes(changed.SerializeToString())
    report = verify_files(Verified("whole.onnx", ("onnxruntime", "changed.onnx")), Settings())
    assert report.first_difference
    assert report.first_difference.name == "conv"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("strings", "tensor(string)"),
        ("bfloat16", "tensor(bfloat16)"),
        ("sequence", "seq(tensor(float))"),
        ("maps", "seq(map(int64,tensor(float)))"),
    ],
)
def test_an_output_that_is_no_tensor_of_numbers(name: str, kind: str, folder: Path, program: Program) -> None:
    """It is refused by its type before anything runs: the binding would crash the process."""
    put(name)
    result = program("verify", "served/model.onnx")
    assert (result.code, result.out) == (4, "")
    assert result.err.splitlines()[0] == (
        f"error[bad-model]: served/model.onnx: its output y is a {kind}, which cannot be compared or ranked"
    )


def test_outputs_that_cannot_be_joined(folder: Path) -> None:
    """Saved outputs are those of all runs; a scalar of three runs is none of one."""
    Path("model.onnx").write_bytes(content("scalar"))
    wanted = Verified("model.onnx", ("onnxruntime",), save=Path("out.npz"))
    with pytest.raises(Failure, match="its output y has the shape"):
        verify_files(wanted, Settings(batches=(1,), inputs=3))
    assert not Path("out.npz").exists()


@pytest.mark.parametrize("saved", [np.array(["a"] * 2)[:, None], np.zeros((2, 2), np.complex64), np.array(5.0)])
def test_saved_outputs_that_are_no_numbers(saved: Any, folder: Path) -> None:
    put("batch_dynamic")
    np.save("out.npy", saved)
    with pytest.raises(Failure) as caught:
        verify_files(Verified("copy.onnx", ("onnxruntime", "out.npy")), Settings(inputs=2))
    assert exit_code(caught.value) is Exit.MODEL


def test_an_image_that_is_one_number(folder: Path) -> None:
    put("batch_dynamic")
    np.save("x.npy", np.array(5.0, np.float32))
    with pytest.raises(Failure, match="the network takes images of 3x8x8"):
        verify_files(Verified("copy.onnx"), Settings(data=(Path("x.npy"),)))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no name here")
def test_external_data_in_a_pipe(folder: Path, run: Run) -> None:
    """It would make the engine wait for ever."""
    put("external_data_missing")
    os.mkfifo("served/weights")
    os.mkfifo("weights")
    for args in (("verify", "served/model.onnx", "--on", "copy.onnx"), ("predict", "served", "a.png")):
        result = run(*args)
        assert result.code == 4
        assert "weights" in result.err


# predict


def classifier(name: str, output: str | None = None) -> Classifier:
    put(name)
    return Classifier(read_folder(Path("served"), output), Device())


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("two_outputs", "scores: tensor(float) of Nx5; relu: tensor(float) of Nx4x8x8"),
        ("scalar", "y: tensor(float) of unknown shape"),
        ("argmax", "y: tensor(int64) of N"),
        ("flat", "y: tensor(float) of M"),
        ("empty", "y: tensor(float) of 0x5"),
        ("feature_map", "relu: tensor(float) of Nx4x8x8"),
        ("one_class", "y: tensor(float) of Nx1"),
        ("bools", "y: tensor(bool) of Nx5"),
    ],
)
def test_an_output_that_ranks_no_classes(name: str, listed: str, folder: Path, run: Run) -> None:
    put(name)
    for more in ((), ("--request",)):
        result = run("predict", "served", "a.png", *more)
        assert (result.code, result.out) == (4, "")
        first, *hint = result.err.splitlines()
        needed = "a classifier gives floats, images x classes; this model gives"
        assert first.startswith(f"error[bad-model]: served/model.onnx: {needed} {listed}")
        assert hint == (["  hint: --output NAME chooses one of several"] if name == "two_outputs" else [])


def test_output_chooses_one_of_several(folder: Path, run: Run) -> None:
    put("batch_dynamic")
    alone = run("predict", "served", "a.png").out
    for name in ("two_outputs", "scores_and_strings"):
        put(name)
        result = run("predict", "served", "a.png", "--output", "scores")
        assert (result.code, result.out) == (0, alone)
        asked = json.loads(run("predict", "served", "a.png", "--output", "scores", "--request").out)
        assert [one["name"] for one in asked["outputs"]] == ["scores"]
    assert run("predict", "served", "a.png", "--output", "y").code == 4
    wrong = run("predict", "served", "a.png", "--output", "score")
    assert (wrong.code, wrong.err.splitlines()[-1]) == (2, "  hint: did you mean scores?")


def test_labels_of_a_model_that_does_not_say_how_many_classes(folder: Path, run: Run) -> None:
    put("unknown_shape")
    Path("served/labels.txt").write_text("".join(f"label {number}\n" for number in range(CLASSES)))
    assert "label " in run("predict", "served", "a.png").out
    Path("served/labels.txt").write_text("cat\n" * 3)
    result = run("predict", "served", "a.png")
    assert (result.code, result.err) == (5, f"error[labels]: 3 labels for {CLASSES} classes (model.onnx)\n")


def test_a_model_of_any_size_takes_what_the_preprocessing_makes(folder: Path) -> None:
    found = classify(classifier("input_of_any_size"), [Path("a.png")]).found
    assert found[0].top == classify(classifier("batch_dynamic"), [Path("a.png")]).found[0].top


def test_more_images_than_one_request_may_hold(folder: Path) -> None:
    with pytest.raises(Failure) as caught:
        request(classifier("batch_dynamic"), [Path("a.png")] * 200_000, 5)
    assert exit_code(caught.value) is Exit.LIMIT


# Measures


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e-150, 1e-20, 1, 1e30, 1e150, 1e307])
@pytest.mark.parametrize("before", [None, 1e-310, 1.0, 1e300])
def test_measures_do_not_overflow(size: float, before: float | None) -> None:
    """The cosine, and differences relative to the largest value, of numbers whose squares float64 cannot hold."""
    distance = Distance()
    if before:
        distance.add(np.array([[before, 0, 0]]), np.array([[before, 0, 0]]), ("a", "b"))
    distance.add(np.array([[0, 3, 4]]) * size, np.array([[0, 4, 4]]) * size, ("a", "b"))
    scale = max(4 * size, before or 0)
    square, dot = (before or 0) / scale, size / scale
    wanted = (square**2 + 28 * dot**2) / np.sqrt((square**2 + 25 * dot**2) * (square**2 + 32 * dot**2))
    tolerance = 1e-2 if size == 1e-320 else 1e-9  # few bits are left of so small a number
    assert distance.cosine == pytest.approx(wanted, rel=tolerance)
    assert distance.error == pytest.approx(dot, rel=tolerance)
    assert distance.mean == pytest.approx(dot / (6 if before else 3), rel=tolerance)


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_opposite_extremes() -> None:
    largest = np.finfo(np.float64).max
    distance = Distance()
    distance.add(np.array([[largest, -largest]]), np.array([[-largest, largest]]), ("a", "b"))
    assert (distance.error, distance.mean, distance.cosine) == (2, 2, pytest.approx(-1))


def test_agreement_of_other_types() -> None:
    """Of bytes without a sign there is no negative; bools rank nothing."""
    scores = np.array([[0, 1, 2, 3, 4, 5, 200]], np.uint8)
    other = np.array([[9, 1, 2, 3, 4, 5, 200]], np.uint8)
    agreement = Agreement()
    agreement.add(scores, other)
    assert (agreement.images, agreement.top1, agreement.top5) == (1, 1, 0)
    agreement.add(scores > 1, other > 1)
    agreement.add(scores, np.zeros((0, 7)))
    assert agreement.images == 1


# What a file says of its origin


def test_a_spec_named_in_a_model_is_never_a_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx

    Path("other.yaml").write_text("secret")
    model = onnx.load_model_from_string(content("batch_dynamic"))
    model.metadata_props.add(key="resnetgen.spec", value=str(folder / "other.yaml"))
    Path("model.onnx").write_bytes(model.SerializeToString())

    def never(word: str, *_: object, **__: object) -> None:
        raise AssertionError(f"{word} is opened")

    monkeypatch.setattr("resnetgen.verification.verify.compile_spec", never)
    assert verify_files(Verified("model.onnx"), Settings()).passed


@pytest.mark.parametrize("dims", [(0, 3, 8, 8), (1, 3, 0, 8), (1, 3, 8, -8)])
def test_a_prototxt_of_no_images(dims: tuple[int, ...], folder: Path, run: Run) -> None:
    layer = "layer { name: 'r' type: 'ReLU' bottom: 'data' top: 'r' }\n"
    sizes = "".join(f"input_dim: {dim}\n" for dim in dims)
    Path("net.prototxt").write_text(f"name: 'n'\ninput: 'data'\n{sizes}{layer}")
    Path("net.caffemodel").write_bytes(b"")
    result = run("verify", "net.prototxt", "--on", "opencv", "--on", "net.prototxt")
    assert (result.code, result.out) == (4, "")
    assert "every dimension must be above 0" in result.err
