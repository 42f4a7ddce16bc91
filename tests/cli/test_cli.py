"""build and verify as a user meets them: what is printed, the exit codes, and that no file is lost or half-written."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from resnetgen.cli.exits import Exit
from support.helpers import TINY, Run
from support.places import ROOT, files_below

# build


def test_build_lists_what_it_wrote(run: Run, tmp_path: Path) -> None:
    result = run("build", "tiny.yaml", "--target", "onnx", "--target", "caffe", "--target", "ir", "--verify")
    assert result.code == 0, result.err
    lines = result.out.splitlines()
    assert lines[0] == "tiny.onnx: equal"
    listed = [line.split()[0] for line in lines if line.startswith("generated")]
    assert listed == [f"generated/tiny/tiny.{end}" for end in ("ir.txt", "prototxt", "caffemodel", "onnx")]
    manifest = json.loads((tmp_path / "generated/tiny/manifest.json").read_text())
    assert {f"generated/tiny/{name}" for name in manifest["files"]} == set(listed)
    for name, entry in manifest["files"].items():
        assert (tmp_path / "generated/tiny" / name).stat().st_size == entry["bytes"]
    assert not [p for p in (tmp_path / "generated/tiny").iterdir() if p.name.startswith(".")]


def test_the_model_says_where_it_comes_from(run: Run) -> None:
    assert run("build", "tiny.yaml", "--set", "classes=7", "--seed", "3").code == 0
    model = onnx.load("generated/tiny/tiny.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version, model.producer_name) == (8, 17, "resnetgen")
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["resnetgen.spec"] == "tiny"
    assert said["resnetgen.seed"] == "3"
    assert said["resnetgen.params"] == '{"classes": 7}'
    assert re.fullmatch("[0-9a-f]{64}", said["resnetgen.spec_sha256"])
    assert {node.name: node.doc_string for node in model.graph.node}["conv2_x/0/main/conv2"] == (
        "tiny.yaml:6 conv2_x/0/main/conv2"
    )
    named = {value.name for value in (*model.graph.value_info, *model.graph.output)}
    assert named == {name for node in model.graph.node for name in node.output}
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_batch_names_and_opset_are_settable(run: Run) -> None:
    options = ("--batch", "2", "--input-name", "data", "--output-name", "prob", "--opset", "13", "--no-fold")
    assert run("build", "tiny.yaml", *options).code == 0
    model = onnx.load("generated/tiny/tiny.onnx")
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("data", "prob")
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 2
    assert (model.opset_import[0].version, model.ir_version) == (13, 7)
    assert "BatchNormalization" in {node.op_type for node in model.graph.node}


def test_manifest_keeps_files_of_earlier_builds(run: Run) -> None:
    assert run("build", "tiny.yaml").code == 0
    assert run("build", "tiny.yaml", "--target", "ir").code == 0
    assert set(json.loads(Path("generated/tiny/manifest.json").read_text())["files"]) == {"tiny.onnx", "tiny.ir.txt"}


def test_bundled_names_build_from_any_folder(run: Run) -> None:
    assert run("build", "resnet18", "--target", "caffe", "--no-weights").code == 0
    assert (
        Path("generated/resnet18/resnet18.prototxt").read_bytes()
        == (ROOT / "generated/resnet18/resnet18.prototxt").read_bytes()
    )


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("build",), Exit.USAGE, "Missing argument"),
        (("build", "tiny.yaml", "--target", "tensorrt"), Exit.USAGE, "no format is called 'tensorrt'"),
        (("build", "tiny.yaml", "--set", "classes"), Exit.USAGE, "is not of the form classes=10"),
        (("build", "tiny.yaml", "--no-weights"), Exit.USAGE, "an ONNX model holds its weights"),
        (("build", "tiny.yaml", "--target", "caffe", "--verify"), Exit.USAGE, "add --target onnx"),
        (("build", "tiny.yaml", "--opset", "99"), Exit.USAGE, "opset 99 lies outside 9 to"),
        (("build", "tiny.yaml", "tiny.yaml"), Exit.USAGE, "two specs would be written to"),
        (("build", "tiny.yaml", "--output-name", "input"), Exit.USAGE, "must differ"),
        (("build", "tiny.yaml", "--set", "depth=3"), Exit.SPEC, "--set depth: the spec has no such parameter"),
        (("build", "resnet5"), Exit.SPEC, "did you mean resnet50"),
        (("build", "missing.yaml"), Exit.IO, "error[missing-file]: no such file: missing.yaml"),
        (("build", "tiny.yaml", "--output-dir", "tiny.yaml"), Exit.IO, "error[output]: cannot write"),
        (("build", "tiny.yaml", "--output-dir", "/proc/no"), Exit.IO, "error[output]: cannot write"),
        (("build", "tiny.yaml", "--max-nodes", "5"), Exit.LIMIT, "the network has more than 5 nodes"),
        (("verify", "tiny.yaml"), Exit.IO, "generated/tiny/tiny.onnx has not been built"),
        (("verify", "tiny.onnx"), Exit.IO, "error[missing-file]: no such file: tiny.onnx"),
        (("summary", "resnet50", "--set", "n=2"), Exit.SPEC, "known: classes"),
        (("summary",), Exit.USAGE, "give a SPEC, or --block with --input"),
        (("summary", "--block", "[3x3, 8; 3x3, 8]"), Exit.USAGE, "--block needs --input"),
        (("summary", "--block", "3x3, 8", "--input", "3x9x9", "--set", "n=2"), Exit.USAGE, "--set is for a SPEC"),
        (("summary", "--block", "3x3, 8", "--input", "3x9x9", "--max-nodes", "2"), Exit.LIMIT, "more than 2 nodes"),
        (("summary", "--block", "", "--input", "3x9x9"), Exit.SPEC, "--block:1:1"),
        (("summary", "--block", "[3x3, 8; 3x3]", "--input", "8x9x9"), Exit.SPEC, "--block:1:13: error[row-syntax]"),
        (("build", "tiny.yaml", "--input", "64x64"), Exit.SPEC, "--input:1:1: error[bad-value]: an input of 64x64"),
    ],
)
def test_errors(run: Run, tmp_path: Path, args: tuple[str, ...], code: Exit, message: str) -> None:
    before = files_below(tmp_path)
    result = run(*args)
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert files_below(tmp_path) == before


def test_one_bad_spec_of_two_writes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(TINY.replace("16x16", "15x15").replace("gap", "gaap"))
    result = run("build", "tiny.yaml", "bad.yaml")
    assert result.code == Exit.SPEC
    assert "bad.yaml:7:20: error[unknown-op]: no op is called 'gaap'" in result.err
    assert not (tmp_path / "generated").exists()


def test_what_stood_there_survives_a_failure(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("build", "tiny.yaml", "--target", "caffe", "--target", "onnx").code == 0
    before = files_below(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("resnetgen.formats.onnx.write._write_tensor", full)
        result = run("build", "tiny.yaml", "--target", "caffe", "--target", "onnx", "--seed", "1")
    assert result.code == Exit.IO
    assert "No space left on device" in result.err
    assert files_below(tmp_path) == before


def test_a_wrong_emitter_publishes_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Translation validation: a stride that is lost on the way to the file is our bug, exit 70."""
    import resnetgen.formats.onnx.lower as translate

    real = translate._conv
    monkeypatch.setattr(translate, "_conv", lambda op: {**real(op), "dilations": [2, 2]})
    result = run("build", "tiny.yaml")
    assert result.code == Exit.BUG
    assert "tiny.onnx, read back, differs from its graph" in result.err
    assert not (tmp_path / "generated").exists()


def test_a_bug_is_one_line_unless_debugged(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("never mind")

    monkeypatch.setattr("resnetgen.network.expand", broken)
    result = run("summary", "resnet50")
    assert result.code == Exit.BUG
    assert result.err.startswith("error[bug]: RuntimeError: never mind\n")
    assert "Traceback" in run("--debug", "summary", "resnet50").err


def test_a_link_is_replaced_not_followed(run: Run, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "generated/tiny").mkdir(parents=True)
    (tmp_path / "generated/tiny/tiny.ir.txt").symlink_to(precious)
    assert run("build", "tiny.yaml", "--target", "ir").code == 0
    assert precious.read_text() == "mine"
    assert not (tmp_path / "generated/tiny/tiny.ir.txt").is_symlink()


# verify


def change(path: Path, name: str, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change one weight of a model's file in place."""
    model = onnx.load(str(path))
    (tensor,) = (t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensor).copy()), name))
    path.write_bytes(model.SerializeToString())


def test_verify_finds_one_changed_weight(run: Run) -> None:
    assert run("build", "tiny.yaml", "--init", "random-stats").code == 0
    assert run("verify", "tiny.yaml").code == 0
    path = Path("generated/tiny/tiny.onnx")
    data = bytearray(path.read_bytes())
    model = onnx.load(str(path))
    (weight,) = (t for t in model.graph.initializer if t.name == "conv2_x/1/main/conv1.weight")
    at = data.index(weight.raw_data) + 4 * 100
    (value,) = struct.unpack_from("<f", data, at)
    struct.pack_into("<f", data, at, value + 0.5)
    path.write_bytes(data)
    result = run("verify", "tiny.yaml", "--json")
    assert result.code == Exit.VERIFICATION
    assert json.loads(result.out)["first_difference"] == "conv2_x/1/main/conv1"
    assert "the first layer that differs is conv2_x/1/main/conv1 (tiny.yaml:6)" in result.err


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("conv1/norm1.gamma", lambda a: a[::-1]),
        ("conv1/norm1.mean", lambda a: -a),
        ("conv2_x/0/main/conv2.weight", lambda a: np.ascontiguousarray(a.transpose(1, 0, 2, 3))),
        ("head/fc.bias", np.zeros_like),
        ("head/fc.weight", lambda a: np.full_like(a, np.nan)),
    ],
)
def test_verify_finds_what_was_changed(run: Run, name: str, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    assert run("build", "tiny.yaml", "--init", "random-stats", "--no-fold").code == 0
    assert run("verify", "tiny.yaml").code == 0
    change(Path("generated/tiny/tiny.onnx"), name, edit)
    result = run("verify", "tiny.yaml", "--json")
    assert result.code == Exit.VERIFICATION
    wanted = "output" if name.startswith("head/fc") else name.rpartition(".")[0]
    assert json.loads(result.out)["first_difference"] in (wanted, "head/fc")


def test_verify_by_file(run: Run) -> None:
    """A bundled spec is found by what the file says of itself; a model without a known spec is run against itself."""
    assert run("build", "tiny.yaml").code == 0
    result = run("verify", "generated/tiny/tiny.onnx")
    assert result.code == 0
    assert "the same file on onnx's reference evaluator" in result.out


def test_verify_refuses_a_model_of_another_spec(run: Run, tmp_path: Path) -> None:
    assert run("build", "tiny.yaml").code == 0
    (tmp_path / "tiny.yaml").write_text(TINY.replace("3x3, 8", "5x5, 8"))
    result = run("verify", "tiny.yaml")
    assert result.code == Exit.VERIFICATION
    assert "was built from another state of the spec" in result.err


def test_verify_of_a_broken_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x08\x3a\xff\xff\xff\x7f")
    result = run("verify", "bad.onnx")
    assert result.code == Exit.MODEL
    assert "it is no ONNX model, or only a part of one" in result.err


def test_cuda_is_refused_where_there_is_none(run: Run, tmp_path: Path) -> None:
    import ctypes.util

    if ctypes.util.find_library("cuda"):
        pytest.skip("there may be a GPU")
    result = run("build", "tiny.yaml", "--provider", "cuda", "--verify")
    assert result.code == Exit.VERIFICATION
    assert "error[provider]: nothing ran on CUDA" in result.err
    assert not (tmp_path / "generated").exists()
    assert run("build", "tiny.yaml", "--provider", "auto", "--verify").code == 0
