"""verify: every kind of backend, what is printed, what is refused, and that nothing wrong passes.

tests/cli/test_cli.py has the command on ONNX Runtime alone; tests/verification/test_verify_opencv.py the Caffe files.
"""

from __future__ import annotations

import ctypes.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from resnetgen.backends import onnxruntime, opencv
from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.verification import Settings, npy
from resnetgen.verification.comparison import Agreement, Distance, TensorPair, Tensors, pair_inner, pair_outputs
from resnetgen.weights.initialise import Init
from support.helpers import Result
from support.verified import MODEL, change, check, refused

# Backends


def test_one_backend_is_held_against_the_reference(folder: Path) -> None:
    report = check()
    assert report.passed
    assert [backend.name for backend in report.backends] == ["reference", "onnxruntime:cpu"]
    (one,) = report.comparisons
    assert one.largest.error < 1e-5
    assert [layer.name for layer in one.layers if layer.is_output] == ["output"]
    assert "conv2_x/1/main/conv2" in {layer.name for layer in one.layers}
    assert all(layer.place.startswith("tiny.yaml:") for layer in one.layers)


def test_the_first_of_several_is_what_the_others_are_held_against(folder: Path) -> None:
    (folder / "copy.onnx").write_bytes((folder / MODEL).read_bytes())
    report = check("onnxruntime:cpu", "copy.onnx", "reference")
    assert report.passed
    assert [(one.backend.name, one.against.name) for one in report.comparisons] == [
        ("copy.onnx", "onnxruntime:cpu"),
        ("reference", "onnxruntime:cpu"),
    ]
    report = check("onnxruntime", "copy.onnx", against="reference")
    assert [one.against.name for one in report.comparisons] == ["reference", "reference"]


def test_a_fold_is_seen_through_from_both_sides(folder: Path) -> None:
    """The convolution of a folded model holds what the norm of an unfolded one does, and neither its own."""
    build(["tiny.yaml"], Options(init=Init.RANDOM_STATS, fold=False, output_dir=folder / "unfolded"))
    unfolded = str(folder / "unfolded/tiny/tiny.onnx")
    for backends, name in ((("onnxruntime", unfolded), "conv1/norm1"), ((unfolded, "onnxruntime"), "conv1/conv1")):
        report = check(*backends)
        assert report.passed
        names = {layer.name for layer in report.comparisons[0].layers}
        assert names >= {"conv1/act1", "output"}
        assert names & {"conv1/conv1", "conv1/norm1"} == {name}
        assert len(names) == len(onnx.load(MODEL).graph.node)


def test_pairs_of_norms() -> None:
    """Only a norm that was folded hands its name down, not one that a later layer wrote over."""
    norms = {"conv": "norm1", "norm1": "norm2", "sum": "norm3"}
    whole = Tensors(("conv", "norm1", "norm2", "sum", "norm3"), True, norms)
    folded = Tensors(("conv", "sum", "norm3"), True, {})
    assert pair_inner(folded, whole) == [
        TensorPair("conv", "norm2"),
        TensorPair("sum", "sum"),
        TensorPair("norm3", "norm3"),
    ]
    assert pair_inner(whole, folded) == [
        TensorPair("norm2", "conv"),
        TensorPair("sum", "sum"),
        TensorPair("norm3", "norm3"),
    ]
    over_written = Tensors(("norm2", "sum"), False, norms)
    assert pair_inner(over_written, folded) == [TensorPair("norm2", "conv"), TensorPair("sum", "sum")]


def test_pairs_of_outputs() -> None:
    assert pair_outputs(["prob"], ["output"]) == [TensorPair("prob", "output")]
    assert pair_outputs(["b", "a"], ["a", "b"]) == [TensorPair("b", "b"), TensorPair("a", "a")]
    assert pair_outputs(["a", "x"], ["a"]) == [TensorPair("a", "a")]
    assert pair_outputs(["x", "y"], ["a"]) == []


def test_saved_outputs(folder: Path) -> None:
    """Saved on one machine, held against on another: only with the same images."""
    check("onnxruntime", save="out.npz", inputs=3)
    assert check("onnxruntime", "out.npz", inputs=3).passed
    assert check("out.npz", "onnxruntime", inputs=3, batches=(2,)).comparisons[0].images == 3
    failure = refused("onnxruntime", "out.npz", inputs=4)
    assert exit_code(failure) is Exit.VERIFICATION
    assert "out.npz has the outputs of other images" in str(failure)
    saved = npy.load(Path("out.npz"))
    np.save("plain.npy", saved["output"])
    assert check("onnxruntime", "plain.npy", inputs=3).passed
    assert "it has no outputs of 4 images" in str(refused("onnxruntime", "plain.npy", inputs=4))
    np.save("wrong.npy", saved["output"][::-1])
    report = check("onnxruntime", "wrong.npy", inputs=3)
    assert not report.passed
    assert report.comparisons[0].agreement is not None
    assert report.comparisons[0].agreement.images == 3


def test_a_foreign_model(folder: Path, command: Callable[..., Result]) -> None:
    """No metadata, no value_info, names of its own: the file on ONNX Runtime against itself on the evaluator."""
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Sigmoid", ["r"], ["y"])]
    shapes = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 3, 4, 4]) for name in "xy"]
    model = helper.make_model(
        helper.make_graph(nodes, "foreign", shapes[:1], shapes[1:]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    onnx.save(model, "foreign.onnx")
    report = check(word="foreign.onnx")
    assert report.passed
    assert [layer.name for layer in report.comparisons[0].layers] == ["r", "y"]
    model.graph.input.append(helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, "two.onnx")
    assert "verify knows networks of one" in command("two.onnx").err


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", "one", "drawn with seed 'one' and init 'random-stats'"),
        ("seed", "9" * 5000, "drawn with seed '999"),
        ("init", "hee", "drawn with seed '0' and init 'hee'"),
    ],
)
def test_a_model_that_says_what_no_build_does(
    folder: Path, command: Callable[..., Result], key: str, value: str, message: str
) -> None:
    model = onnx.load(MODEL)
    (entry,) = (one for one in model.metadata_props if one.key == f"resnetgen.{key}")
    entry.value = value
    onnx.save(model, MODEL)
    for word in (MODEL, "tiny.yaml"):
        result = command(word)
        assert result.code == Exit.MODEL
        assert message in result.err


@pytest.mark.parametrize(
    ("params", "held_against"),
    [
        ('{"classes": 10}', "spec"),
        *((text, "spec") for text in ("[", "[1]", '{"classes": "10"}', '{"classes": [[]]}', '{"classes": true}')),
        ('{"classes": 12}', "the same file"),
        ('{"no": 1}', "the same file"),
    ],
)
def test_a_model_that_says_other_params(folder: Path, params: str, held_against: str) -> None:
    """Those that no build says are none; where the spec cannot be told, a model is held against itself."""
    (built,) = build(["resnet20_cifar"], Options())
    (path,) = built.files
    model = onnx.load(path)
    (entry,) = (one for one in model.metadata_props if one.key == "resnetgen.params")
    entry.value = params
    onnx.save(model, path)
    report = check(word=str(path))
    assert report.passed
    assert report.backends[0].file.startswith(held_against)


def test_tolerances_of_single_tensors(folder: Path, command: Callable[..., Result]) -> None:
    change(MODEL, "head/fc.bias", lambda a: a + 1e-3 * np.arange(len(a), dtype=np.float32))
    report = check()
    assert report.first_difference
    assert report.first_difference.name == "head/fc"
    assert check(tolerances={"head/fc": 0.1, "output": 0.1}).passed
    assert command("tiny.yaml", "--tolerance", "0.1").code == 0
    assert command("tiny.yaml", "--tolerance", "head/fc=0.1", "--tolerance", "output=0.1").code == 0
    assert command("tiny.yaml", "--tolerance", "head/fc=0.1").code == Exit.VERIFICATION
    wrong = command("tiny.yaml", "--tolerance", "outptu=0.1")
    assert wrong.code == Exit.USAGE
    assert "no tensor that was compared is called so" in wrong.err
    assert "did you mean output?" in wrong.err
    assert command("tiny.yaml", "--tolerance", "2").code == Exit.USAGE


@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (np.inf, "NaN")])
def test_what_is_not_finite_equals_nothing(folder: Path, value: float, what: str) -> None:
    """Not even the same on the other backend. (A softmax makes NaN of Inf.)"""
    change(MODEL, "conv2_x/1/main/conv2.bias", lambda a: np.full_like(a, value))
    (folder / "same.onnx").write_bytes((folder / MODEL).read_bytes())
    report = check("onnxruntime", "same.onnx")
    first = report.first_difference
    assert first
    assert first.name == "conv2_x/1/main/conv2"
    assert first.faults == tuple(
        f"1024 {'Inf' if value == np.inf else 'NaN'} in {name}" for name in ("same.onnx", "onnxruntime:cpu")
    )
    assert report.comparisons[0].layers[-1].faults[0].endswith(f" {what} in same.onnx")
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["passed"] is False
    assert "in same.onnx" in str(report.failure())


def test_measures() -> None:
    distance, names = Distance(), ("a", "b")
    distance.add(np.array([[1, 2]], np.float32), np.array([[1, 4]], np.float32), names)
    distance.add(np.array([[0, 0]], np.float32), np.array([[0, 1]], np.float32), names)
    assert (distance.error, distance.mean) == (2 / 4, 3 / 4 / 4)
    assert distance.cosine == pytest.approx(9 / np.sqrt(5 * 18))
    zero = Distance()
    zero.add(np.zeros((1, 3), np.float32), np.zeros((1, 3, 1, 1), np.float32), names)
    assert (zero.error, zero.cosine, zero.faults) == (0, 1, [])
    other = Distance()
    other.add(np.zeros((1, 3), np.float32), np.zeros((1, 4), np.float32), names)
    assert other.error == np.inf
    assert other.faults == ["the shape is (1, 3) in a, (1, 4) in b"]


def test_agreement() -> None:
    agreement = Agreement()
    scores = np.arange(20, dtype=np.float32).reshape(2, 10)
    agreement.add(scores, scores[:, ::-1])
    agreement.add(scores, scores + 1)
    assert (agreement.images, agreement.top1, agreement.top5) == (4, 2, 2)
    swapped = scores.copy()
    swapped[:, [8, 9]] = swapped[:, [9, 8]]
    agreement.add(swapped, scores)
    assert (agreement.images, agreement.top1, agreement.top5) == (6, 2, 4)


# What is said


def test_the_report_is_a_table(folder: Path, command: Callable[..., Result]) -> None:
    lines = command("tiny.yaml", "--seeds", "2", "--layers").out.splitlines()
    assert lines[0] == "tiny.onnx: equal"
    assert lines[1].split() == ["backend", "ran", "engine", "on", "batch"]
    (row,) = (line for line in lines if line.strip().endswith("2/2    2/2"))
    assert row.split()[:3] == ["onnxruntime:cpu", "1", "2"]
    assert lines[-1].startswith("onnxruntime:cpu: ")
    assert lines[-1].endswith(" on CPUExecutionProvider")
    layers = [line.split() for line in lines if " conv2_x/1/main/conv1 " in line]
    assert "tiny.yaml:6" in [layer[-1] for layer in layers]


def test_json_says_all(folder: Path, command: Callable[..., Result]) -> None:
    change(MODEL, "conv1/conv1.weight", lambda a: a[::-1], to="wrong.onnx")
    result = command("tiny.yaml", "--on", "onnxruntime:cpu", "--on", "wrong.onnx", "--json")
    said = json.loads(result.out)
    assert result.code == Exit.VERIFICATION
    assert (said["passed"], said["first_difference"], said["place"]) == (False, "conv1/conv1", "tiny.yaml:5")
    assert said["backends"][0]["engine"].startswith("onnxruntime 1.")
    assert set(said["backends"][0]["nodes"].values()) == {"CPUExecutionProvider"}
    assert said["comparisons"][0]["agreement"]["images"] == 1
    assert {"name", "place", "error", "mean", "cosine", "tolerance", "passed"} <= set(
        said["comparisons"][0]["layers"][0]
    )
    assert "wrong.onnx: the first layer that differs is conv1/conv1 (tiny.yaml:5): " in result.err
    assert "note: compared with onnxruntime:cpu: tiny.onnx, batch 1" in result.err


# What is refused


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--on", "tensorrt"), Exit.USAGE, "--on does not know what 'tensorrt' is"),
        (("--on", "onnxruntime:npu"), Exit.USAGE, "known: reference, onnxruntime"),
        (("--on", "onnxruntime", "--on", "onnxruntime:cpu"), Exit.USAGE, "it takes two backends that differ"),
        (("--on", "reference"), Exit.USAGE, "it takes two backends that differ"),
        (("--on", "none.onnx"), Exit.IO, "cannot read none.onnx"),
        (("--on", "none.npz"), Exit.IO, "no such file: none.npz"),
        (("--on", "opencv"), Exit.IO, "hint: resnetgen build tiny.yaml --output-dir generated --target caffe"),
        (("--provider-option", "device_id=0"), Exit.USAGE, "--provider-option is for CUDA"),
        (("--on", "onnxruntime:cuda", "--provider-option", "device_id"), Exit.USAGE, "is not of the form device_id=1"),
        (("--save-outputs", "/proc/no/out.npz"), Exit.IO, "error[output]: cannot write"),
    ],
)
def test_errors(folder: Path, command: Callable[..., Result], args: tuple[str, ...], code: Exit, message: str) -> None:
    result = command("tiny.yaml", *args)
    assert (result.code, result.out) == (code, "")
    assert message in result.err


def test_networks_of_other_inputs(folder: Path) -> None:
    build(["resnet20_cifar"], Options())
    failure = refused("onnxruntime", "generated/resnet20_cifar/resnet20_cifar.onnx")
    assert "onnxruntime:cpu takes images of 3x16x16 of float32, generated/resnet20_cifar" in str(failure)
    assert exit_code(failure) is Exit.VERIFICATION


def test_without_opencv_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    opencv._engine.cache_clear()
    with pytest.raises(Failure) as caught:
        opencv.version()
    assert caught.value.problems[0].hint == "pip install 'resnetgen[caffe]'"
    opencv._engine.cache_clear()


def test_cuda_is_refused_where_there_is_none(folder: Path, command: Callable[..., Result]) -> None:
    if ctypes.util.find_library("cuda"):
        pytest.skip("there may be a GPU")
    for args in (
        ("--on", "onnxruntime:cuda"),
        ("--provider", "cuda"),
        ("--on", "onnxruntime:cpu", "--on", "onnxruntime:cuda"),
    ):
        result = command("tiny.yaml", *args)
        assert (result.code, result.out) == (Exit.VERIFICATION, "")
        assert "error[provider]: nothing ran on CUDA" in result.err
    result = command("tiny.yaml", "--on", "onnxruntime:auto", "--provider-option", "device_id=0", "--provider", "auto")
    assert result.code == 0
    assert "TF32" not in result.out


def test_tf32_is_off_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    device = Settings(provider=onnxruntime.Provider.CUDA).device()
    assert (device.cuda_options, device.tf32) == ({"use_tf32": "0"}, False)
    device = Settings(provider_options={"use_tf32": "1", "device_id": "1"}).device("cuda")
    assert (device.cuda_options, device.tf32) == ({"use_tf32": "1", "device_id": "1"}, True)
