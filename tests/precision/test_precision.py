"""--precision: what is written in fp16 and int8, how it agrees with fp32, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper
from PIL import Image

from resnetgen import verification as verify_room
from resnetgen.errors import Exit, Failure
from resnetgen.precision import calibration, quantise
from resnetgen.precision.agreement import measure
from resnetgen.precision.calibration import Images
from resnetgen.precision.options import TOLERANCES, Precision, PrecisionOptions, Tolerance
from resnetgen.precision.plan import Fp32Plan, plan_precision
from resnetgen.preprocess import Color, Interpolation, Preprocess
from resnetgen.verification.inputs import InputFormat
from support.helpers import Result, Run

TINY = """\
use: std
input: 3x16x16
params: {classes: 4}
preprocess: {color: rgb, divide: 255, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], resize: 18, crop: 16x16}
stages:
  conv1:   8x8 | 3x3, 4 | maxpool 2x2, /2
  conv2_x: 4x4 | [3x3, 8; 3x3, 8] x2 /2
  head:    1x1   | gap | fc $classes | softmax
"""
BUILD = ("build", "tiny.yaml", "--init", "random-stats")
INT8 = (*BUILD, "--precision", "int8", "--calibrate", "random")
FP16 = (*BUILD, "--precision", "fp16")
FOLDER = Path("generated/tiny")
SEEN = Preprocess(Color.RGB, 255, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 18, (16, 16), Interpolation.BILINEAR)
WANTED = InputFormat((3, 16, 16), np.dtype(np.float32))


@pytest.fixture(autouse=True)
def _spec(run: Run) -> None:
    Path("tiny.yaml").write_text(TINY)


def pictures(folder: str, count: int) -> None:
    """Each is of one colour, so that one can tell which were taken."""
    Path(folder).mkdir()
    for number in range(count):
        Image.new("RGB", (20, 18), (number, 255 - number, 7)).save(f"{folder}/{number:03}.png")


def passed(result: Result) -> str:
    assert result.code == 0, result.err
    return result.out


def written() -> list[str]:
    return sorted(path.as_posix() for path in Path().rglob("*") if path.is_file() and path.name != "tiny.yaml")


def session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


# int8


def test_int8(run: Run) -> None:
    """What was said of it is what a run of both models gives."""
    said = passed(run(*INT8))
    passed(run(*BUILD))
    whole, made = session(FOLDER / "tiny.onnx"), session(FOLDER / "tiny-int8.onnx")
    data = np.random.default_rng(0).standard_normal((16, 3, 16, 16), np.float32)
    wanted, found = (np.concatenate([one.run(None, {"input": x[None]})[0] for x in data]) for one in (whole, made))
    same = int((wanted.argmax(axis=1) == found.argmax(axis=1)).sum())
    cosine = float((wanted * found).sum() / np.linalg.norm(wanted) / np.linalg.norm(found))
    assert said.startswith(f"int8: top-1 of {same} of 16 images as in fp32, cosine {cosine:.6f} (16 random images)\n")
    assert np.abs(wanted - found).max() > 1e-6  # it is not the same model
    origin = json.loads((FOLDER / "manifest.json").read_text())["files"]["tiny-int8.onnx"]["origin"]
    assert (origin["precision"], origin["images"], origin["same_top1"]) == ("int8", 16, same)
    assert origin["cosine"] == pytest.approx(cosine, abs=1e-6)


def test_int8_is_what_a_server_takes(run: Run) -> None:
    """Weights S8 by channel, activations U8, opset, IR version, names and metadata those of fp32."""
    passed(run(*INT8, "--runtime", "ort-1.15", "--input-name", "image"))
    model = onnx.load(str(FOLDER / "tiny-int8.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert (model.opset_import[0].version, model.ir_version, len(model.opset_import)) == (17, 8, 1)
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("image", "output")
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["resnetgen.precision"] == "int8"
    assert said["resnetgen.calibration"] == "16 random images"
    assert said["resnetgen.spec"] == "tiny"
    assert len(said["resnetgen.calibration_sha256"]) == 64
    makers = {name: node for node in model.graph.node for name in node.output}
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(products) == 7
    for node in products:
        activation, weight = (makers[name] for name in node.input[:2])
        assert tensors[activation.input[2]].data_type == TensorProto.UINT8
        held = tensors[weight.input[0]]
        scales = numpy_helper.to_array(tensors[weight.input[1]])
        assert (held.data_type, len(scales)) == (TensorProto.INT8, held.dims[0])
        assert len(set(scales.tolist())) > 1


def test_the_same_bytes_again(run: Run) -> None:
    passed(run(*INT8))
    first = (FOLDER / "tiny-int8.onnx").read_bytes()
    passed(run(*INT8))
    assert (FOLDER / "tiny-int8.onnx").read_bytes() == first


@pytest.mark.parametrize("options", [("--batch", "3"), ("--embed-preprocess",), ("--verify",), ("--opset", "21")])
@pytest.mark.parametrize("precision", [INT8, FP16], ids=["int8", "fp16"])
def test_with_other_options(precision: tuple[str, ...], options: tuple[str, ...], run: Run) -> None:
    passed(run(*precision, *options))
    assert len(written()) == 2


def test_fitted_to_pictures(run: Run) -> None:
    pictures("images", 5)
    Path("images/readme.txt").write_text("not an image, and not called as one")
    said = passed(run(*BUILD, "--precision", "int8", "--calibrate", "images", "--min-cosine", "0.9"))
    assert "(5 images of images/)" in said
    random = passed(run(*INT8))
    assert said.split("sha256")[1] != random.split("sha256")[1]


def test_fitted_to_arrays(run: Run) -> None:
    np.save("x.npy", np.random.default_rng(0).standard_normal((40, 3, 16, 16), np.float32))
    said = passed(run(*BUILD, "--precision", "int8", "--calibrate", "x.npy", "--calibration-images", "10"))
    assert "(10 of the 40 images of x.npy)" in said


def test_caffe_beside_it(run: Run) -> None:
    passed(run(*INT8, "--target", "caffe", "--target", "onnx"))
    names = ["manifest.json", "tiny-int8.onnx", "tiny.caffemodel", "tiny.preprocess.json", "tiny.prototxt"]
    assert written() == [f"generated/tiny/{name}" for name in names]


# fp16


def test_fp16(run: Run) -> None:
    said = passed(run(*FP16))
    assert said.startswith("fp16: top-1 of 16 of 16 images as in fp32, cosine 1.000000 (16 random images)\n")
    made = session(FOLDER / "tiny-fp16.onnx")
    assert [made.get_inputs()[0].type, made.get_outputs()[0].type] == ["tensor(float)"] * 2
    passed(run(*FP16, "--fp16-io"))
    made = session(FOLDER / "tiny-fp16.onnx")
    assert [made.get_inputs()[0].type, made.get_outputs()[0].type] == ["tensor(float16)"] * 2


def test_fp16_of_weights_beyond_its_range(run: Run) -> None:
    passed(run(*BUILD, "--no-fold"))
    passed(run("weights", "convert", "generated/tiny/tiny.onnx", "w.npz", "--spec", "tiny.yaml"))
    held = dict(np.load("w.npz"))
    held["conv1/conv1.weight"] *= 1e6
    np.savez("w.npz", **held)
    before = written()
    result = run(*FP16, "--weights", "w.npz")
    assert result.code == Exit.MODEL
    assert "tiny.yaml:6:" in result.err
    assert "error[precision]: the range of fp16 ends at 65504" in result.err
    assert "conv1/conv1.weight lie beyond it" in result.err
    assert written() == before


# The gate


def test_the_gate_fails(run: Run) -> None:
    """And nothing is published."""
    result = run(*INT8, "--min-cosine", "1")
    assert result.code == Exit.VERIFICATION
    assert result.err.startswith("error[precision]: int8 is too far from fp32: top-1 of ")
    assert "--calibrate with images like those that will be served" in result.err
    assert not Path("generated").exists()


@pytest.mark.parametrize("precision", Precision)
def test_a_model_that_is_another(precision: Precision, run: Run) -> None:
    """The gate's negative control: the weights of another seed."""
    passed(run(*BUILD))
    whole = Path("whole.onnx")
    (FOLDER / "tiny.onnx").rename(whole)
    passed(run(*BUILD, "--seed", "1"))
    images = calibration.load(None, None, WANTED, None)
    lowering = PrecisionOptions(precision, TOLERANCES[precision])
    assert measure(whole, whole, images, lowering).passed
    found = measure(whole, FOLDER / "tiny.onnx", images, lowering)
    assert not found.passed
    assert found.failure().exit is Exit.VERIFICATION


def test_an_output_that_is_not_finite(run: Run) -> None:
    passed(run(*BUILD))
    model = onnx.load(str(FOLDER / "tiny.onnx"))
    bias = next(one for one in model.graph.initializer if one.name == "head/fc.bias")
    bias.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, np.float32), bias.name))
    onnx.save(model, "nan.onnx")
    images = calibration.load(None, None, WANTED, None)
    found = measure(FOLDER / "tiny.onnx", Path("nan.onnx"), images, PrecisionOptions(Precision.FP16, Tolerance(0, 0.5)))
    assert not found.passed
    assert "NaN in fp16" in found.summary


# verify


@pytest.mark.parametrize("precision", [FP16, (*FP16, "--fp16-io"), INT8], ids=["fp16", "fp16 in and out", "int8"])
def test_verified_later(precision: tuple[str, ...], run: Run) -> None:
    """By the tolerance of its precision, against the network in fp32; the weights of another seed are not within it."""
    passed(run("build", "resnet20_cifar", "--set", "n=1", *precision[2:]))
    (path,) = Path("generated/resnet20_cifar").glob("*.onnx")
    said = passed(run("verify", str(path), "--batch", "3"))
    assert f"tolerance {'1e-02' if 'fp16' in precision else '1e-01'} of each tensor" in said
    assert run("verify", str(path), "--tolerance", "1e-6").code == Exit.VERIFICATION
    passed(run("build", "resnet20_cifar", "--set", "n=1", "--init", "random-stats", "--seed", "1"))
    other = str(path.with_name("resnet20_cifar.onnx"))
    assert run("verify", other, "--on", str(path), "--against", "reference").code == Exit.VERIFICATION


def test_what_the_reference_cannot_run(run: Run) -> None:
    """Where no bundled spec is found, it is the file itself that it is given."""
    passed(run(*INT8, "--opset", "17"))
    result = run("verify", str(FOLDER / "tiny-int8.onnx"))
    assert result.code == Exit.MODEL
    assert "onnx's reference evaluator cannot run this model: No implementation for operator" in result.err


# What the quantiser did, looked at


def whole_weight(model: ModelProto) -> None:
    node = next(one for one in model.graph.node if one.op_type == "Conv")
    values = np.zeros((4, 3, 3, 3), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(values, "whole"))
    node.input[1] = "whole"


def signed_activation(model: ModelProto) -> None:
    makers = {name: node for node in model.graph.node for name in node.output}
    gemm = next(one for one in model.graph.node if one.op_type == "Gemm")
    zero = next(one for one in model.graph.initializer if one.name == makers[gemm.input[0]].input[2])
    zero.CopyFrom(numpy_helper.from_array(np.array(0, np.int8), zero.name))


def one_scale(model: ModelProto) -> None:
    makers = {name: node for node in model.graph.node for name in node.output}
    conv = next(one for one in model.graph.node if one.op_type == "Conv")
    scale = next(one for one in model.graph.initializer if one.name == makers[conv.input[1]].input[1])
    scale.CopyFrom(numpy_helper.from_array(np.array(1, np.float32), scale.name))


def other_opset(model: ModelProto) -> None:
    model.opset_import[0].version += 1


def other_output(model: ModelProto) -> None:
    model.graph.output[0].name = "else"


CHANGES = {
    "a weight in fp32": (whole_weight, "the weight of conv1/conv1 is not quantised"),
    "an activation with a sign": (signed_activation, "has another type than UINT8"),
    "one scale": (one_scale, "the weight of conv1/conv1 has one scale for all channels"),
    "another opset": (other_opset, "its opset or IR version differs"),
    "another output": (other_output, "its inputs or outputs differ"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_quantiser_that_did_something_else(change: str, run: Run) -> None:
    passed(run(*INT8))
    passed(run(*BUILD))
    made, whole = (onnx.load(str(FOLDER / name)) for name in ("tiny-int8.onnx", "tiny.onnx"))
    assert quantise.differences(made, whole) == []
    edit, said = CHANGES[change]
    edit(made)
    assert any(said in line for line in quantise.differences(made, whole))


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
    assert caught.value.exit is Exit.LIMIT
    assert (
        plan_precision(PrecisionOptions(Precision.FP16, TOLERANCES[Precision.FP16]), whole, None).images.origin
        == "16 random images"
    )


@pytest.mark.parametrize(("build", "name"), [(INT8, "tiny-int8.onnx"), (FP16, "tiny-fp16.onnx")])
def test_the_report_of_a_build_is_that_of_the_published_file(
    build: tuple[str, ...], name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[tuple[str, bytes]] = []
    verify = verify_room.verify_against_spec

    def watched(model: Path, *rest: Any) -> Any:
        ran.append((model.name, model.read_bytes()))
        return verify(model, *rest)

    monkeypatch.setattr(verify_room, "verify_against_spec", watched)
    said = passed(run(*build, "--verify"))
    assert said.startswith(f"{name}: equal\n")
    assert [each for each, _ in ran] == [name, name], "the model in fp32, and the one that was made of it"
    assert ran[0][1] != ran[1][1] == (FOLDER / name).read_bytes()
    assert "tolerance 1e-01" in said or "tolerance 1e-02" in said
    # The same figures as a run of the file gives.
    (figures,) = [line for line in said.splitlines() if line.startswith("onnxruntime:cpu  ") and "/1" in line]
    assert figures in passed(run("verify", "tiny.yaml"))


def test_verify_of_a_spec_finds_its_only_model(run: Run) -> None:
    passed(run(*FP16))
    assert passed(run("verify", "tiny.yaml")).startswith("tiny-fp16.onnx: equal\n")
    passed(run(*INT8))
    result = run("verify", "tiny.yaml")
    assert result.code == Exit.USAGE
    assert "generated/tiny holds several models: tiny-fp16.onnx, tiny-int8.onnx" in result.err
    assert "hint: name the model itself: resnetgen verify generated/tiny/tiny-fp16.onnx" in result.err
    passed(run(*BUILD))
    assert passed(run("verify", "tiny.yaml")).startswith("tiny.onnx: equal\n")
