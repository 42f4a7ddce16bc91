"""--precision: what is written in fp16 and int8, and how it agrees with fp32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from resnetgen import verification as verify_room
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.precision import calibration, quantise
from resnetgen.precision.agreement import measure
from resnetgen.precision.precision_options import TOLERANCES, Precision, PrecisionOptions, Tolerance
from support.helpers import Run
from support.precision_builds import BUILD, FOLDER, FP16, INT8, TINY, WANTED, passed, pictures, written


@pytest.fixture(autouse=True)
def _spec(run: Run) -> None:
    Path("tiny.yaml").write_text(TINY)


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
    assert exit_code(found.failure()) is Exit.VERIFICATION


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
