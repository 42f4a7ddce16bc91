"""The library: the same files, refusals and texts as the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

import resnetgen as rg
from resnetgen.build.options import make_options
from resnetgen.comparison import Difference
from support.helpers import TINY, Run


def test_every_public_name_can_be_imported() -> None:
    code = "import resnetgen as rg; print(*(getattr(rg, name) for name in rg.__all__))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, resnetgen; print(*sorted(m for m in sys.modules if m.startswith(('numpy', 'onnx', 'resnetgen.'))))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []


def test_functions_are_not_hidden_by_modules(net: rg.Network) -> None:
    """`import resnetgen.diff` would replace the function of this name by a module."""
    rg.diff(net, net)
    assert callable(rg.diff)
    assert callable(rg.verify)
    assert callable(rg.load)


@pytest.mark.parametrize("options", [{}, {"opset": 11, "batch": 2}, {"fold": False}, {"runtime": "ort-1.15"}], ids=str)
def test_the_model_in_memory_has_the_bytes_of_a_build(
    options: dict[str, Any], net: rg.Network, weights: rg.Weights, tmp_path: Path
) -> None:
    rg.save(net, tmp_path, weights=weights, **options)
    assert net.to_onnx(weights, **options) == onnx.load(tmp_path / "tiny.onnx")


@pytest.mark.parametrize("dialect", ["bvlc", "bvlc-1.0", "opencv"])
def test_caffe_in_memory_has_the_bytes_of_a_build(
    dialect: str, net: rg.Network, weights: rg.Weights, tmp_path: Path
) -> None:
    rg.save(net, tmp_path, targets=["caffe"], weights=weights, dialect=dialect)
    text, model = net.to_caffe(weights, dialect=dialect)
    assert text == (tmp_path / "tiny.prototxt").read_text() == net.to_prototxt(dialect=dialect)
    assert model == type(model).FromString((tmp_path / "tiny.caffemodel").read_bytes())


def test_save_and_build_write_the_same(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    assert run("build", "tiny.yaml", "--target", "onnx", "--target", "caffe", "--seed", "7").code == 0
    net = rg.load("tiny.yaml")
    rg.save(net, "saved", targets=["onnx", "caffe"], weights=rg.Weights.random(net, seed=7))
    for path in Path("generated/tiny").iterdir():
        assert Path("saved", path.name).read_bytes() == path.read_bytes(), path.name


def test_diff_takes_networks_names_and_paths(net: rg.Network, tmp_path: Path) -> None:
    prototxt = tmp_path / "tiny.prototxt"
    prototxt.write_text(net.to_prototxt())
    for other in (net, prototxt, str(prototxt)):
        assert rg.diff(net, other).equal
    different: Difference = rg.diff("resnet18", net)
    assert not different.equal


def test_verify_reports_and_raises(net: rg.Network, weights: rg.Weights, tmp_path: Path) -> None:
    rg.save(net, tmp_path, weights=weights)
    model = tmp_path / "tiny.onnx"
    assert rg.verify(model, net).passed
    rg.verify(model, net, weights=weights).raise_if_different()
    report = rg.verify(model, net, weights=rg.Weights.random(net, seed=4))
    assert repr(report) == "<Report tiny.onnx: different, first in conv1/conv1, 1 comparison>"
    with pytest.raises(rg.VerificationError, match="the first layer that differs"):
        report.raise_if_different()


def test_problems_have_line_and_hint() -> None:
    with pytest.raises(rg.SpecError) as caught:
        rg.parse("use: std\ninput: 3x32x32\nstages: {head: gop | fc 10}")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.hint) == (3, 16, "did you mean gap?")


def test_a_tensor_that_does_not_exist(weights: rg.Weights) -> None:
    with pytest.raises(rg.UsageError, match="no node 'head/fx' has a parameter 'weight'\n  hint: did you mean head/fc"):
        weights.tensor("head/fx", "weight")
    with pytest.raises(rg.UsageError, match="did you mean weight"):
        weights.tensor("head/fc", "weights")


WRONG: dict[str, tuple[Callable[[rg.Network, Path], object], str]] = {
    "a text for a list": (lambda net, out: rg.save(net, out, targets="onnx"), "targets: a list of texts is needed"),
    "a number for a path": (lambda net, out: rg.load(3), "spec: a path is needed, not an int"),
    "a number for a text": (lambda net, out: rg.parse(3), "text: a text is needed"),
    "a folder for a spec": (lambda net, out: rg.load(out), "does not end in .yaml"),
    "an unknown format": (lambda net, out: rg.save(net, out, targets=["onx"]), "did you mean onnx?"),
    "no format": (lambda net, out: rg.save(net, out, targets=[]), "no format to write"),
    "an unknown option": (lambda net, out: rg.save(net, out, opst=3), "did you mean opset?"),
    "an option of another function": (
        lambda net, out: net.to_onnx(rg.Weights.random(net), dialect="bvlc"),
        "to_onnx has no argument 'dialect'",
    ),
    "a backend by the name of the command line": (
        lambda net, out: rg.verify("m.onnx", on=["opencv"]),
        "verify has no argument 'on'",
    ),
    "an unknown option of a comparison": (lambda net, out: rg.diff(net, net, ignore_name=True), "mean ignore_names?"),
    "an unknown option of a checkpoint": (
        lambda net, out: rg.Weights.load("w.npz", net, allow_nonfinit=True),
        "did you mean allow_nonfinite?",
    ),
    "a text for a flag": (lambda net, out: rg.save(net, out, fold="no"), "fold: True or False is needed"),
    "a text for a number": (lambda net, out: rg.save(net, out, batch="2"), "batch: a whole number is needed"),
    "a number out of range": (lambda net, out: rg.save(net, out, batch=0), "--batch: 0 is outside"),
    "an unknown dialect": (lambda net, out: net.to_prototxt(dialect="bvcl"), "did you mean bvlc"),
    "an unknown runtime": (lambda net, out: rg.save(net, out, runtime="triton"), "no runtime is called"),
    "an unknown init": (lambda net, out: rg.Weights.random(net, init="hee"), "did you mean he?"),
    "a seed out of range": (lambda net, out: rg.Weights.random(net, seed=-1), "--seed: -1 is outside"),
    "a parameter that is a text": (lambda net, out: rg.load("resnet18", classes="ten"), "classes: a number"),
    "an input size that is a tuple": (lambda net, out: rg.load("resnet18", input_size=(3, 8, 8)), "write '3x8x8'"),
    "one backend as a text": (lambda net, out: rg.verify("m.onnx", net, backends="opencv"), "backends: a list"),
    "a name for a network": (lambda net, out: rg.verify("m.onnx", "resnet18"), "network: a Network is needed"),
    "a dictionary for weights": (lambda net, out: net.to_onnx({}), "weights: Weights is needed"),
    "a path for weights": (lambda net, out: rg.save(net, out, weights="w.pth"), "weights: Weights is needed"),
    "weights of another network": (
        lambda net, out: net.to_onnx(rg.Weights.random(rg.load("resnet18"))),
        "the weights are those of ResNet-18, whose parameters differ",
    ),
    "a name for the network of weights": (lambda net, out: rg.Weights.random("resnet18"), "network: a Network"),
    "a text for a seed": (lambda net, out: rg.Weights.random(net, seed="1"), "seed: a whole number is needed"),
    "a name for a network to save": (lambda net, out: rg.save("resnet18", out), "network: a Network is needed"),
    "a number for a list of batches": (lambda net, out: rg.verify("m.onnx", net, batches=8), "batches: a list is"),
    "a text for a batch": (lambda net, out: rg.verify("m.onnx", net, batches=["8"]), "batches: a whole number is"),
    "a batch of batches": (lambda net, out: rg.verify("m.onnx", net, batches=[[8]]), "batches: a whole number is"),
    "one file for a list": (lambda net, out: rg.verify("m.onnx", net, data="a.npy"), "data: a list is needed"),
    "an unknown provider": (lambda net, out: rg.verify("m.onnx", net, provider="gpu"), "--provider: 'gpu' is not one"),
    "a text for images": (lambda net, out: rg.verify("m.onnx", net, images="4"), "images: a whole number is needed"),
    "a text for a tolerance": (lambda net, out: rg.verify("m.onnx", net, tolerance="1"), "tolerance: a number is"),
    "a number for tolerances": (lambda net, out: rg.verify("m.onnx", net, tolerances=1), "tolerances: a dictionary"),
    "a number for an option of CUDA": (
        lambda net, out: rg.verify("m.onnx", net, ["onnxruntime:cuda"], provider_options={"device_id": 1}),
        "provider_options['device_id']: a text is needed",
    ),
    "a tolerance out of range": (lambda net, out: rg.verify("m.onnx", net, tolerance=2), "--tolerance: 2 is not more"),
    "a text for an agreement": (
        lambda net, out: rg.save(net, out, precision="fp16", min_top1="1"),
        "min_top1: a number is needed",
    ),
    "a text for a number of images": (
        lambda net, out: rg.save(net, out, precision="fp16", calibration_images="4"),
        "calibration_images: a whole number is needed",
    ),
    "a text for a flag of fp16": (
        lambda net, out: rg.save(net, out, precision="fp16", fp16_io="no"),
        "fp16_io: True or False is needed",
    ),
    "a path for the text of a spec": (lambda net, out: rg.parse("mine.yaml"), "load takes a path"),
    "a number for a format": (lambda net, out: rg.register(3), "a format needs the attribute 'name', and int"),
    "a number for an operand": (lambda net, out: rg.diff(net, 3), "a network: a path is needed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_typed_errors(case: str, net: rg.Network, tmp_path: Path) -> None:
    call, text = WRONG[case]
    with pytest.raises(rg.UsageError) as caught:
        call(net, tmp_path)
    assert text in str(caught.value)
    assert list(tmp_path.iterdir()) == []


CONFLICTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "dialect without caffe": ({"dialect": "opencv"}, ("--dialect", "opencv")),
    "the default dialect without caffe": ({"dialect": "bvlc"}, ("--dialect", "bvlc")),
    "runtime without onnx": (
        {"targets": ["caffe"], "runtime": "ort-1.15"},
        ("--target", "caffe", "--runtime", "ort-1.15"),
    ),
    "opset without onnx": ({"targets": ["caffe"], "opset": 17}, ("--target", "caffe", "--opset", "17")),
    "external data without onnx": (
        {"targets": ["ir"], "external_data": True},
        ("--target", "ir", "--external-data"),
    ),
    "embedded preprocessing with caffe": (
        {"targets": ["onnx", "caffe"], "embed_preprocess": True},
        ("--target", "onnx", "--target", "caffe", "--embed-preprocess"),
    ),
    "precision without onnx": (
        {"targets": ["caffe"], "precision": "fp16"},
        ("--target", "caffe", "--precision", "fp16"),
    ),
    "precision unfolded": ({"precision": "fp16", "fold": False}, ("--precision", "fp16", "--no-fold")),
    "verify without onnx": ({"targets": ["caffe"], "verify": True}, ("--target", "caffe", "--verify")),
    "onnx without weights": ({"weights": False}, ("--no-weights",)),
    "provider without verify": ({"provider": "cpu"}, ("--provider", "cpu")),
    "calibrate in fp32": ({"calibrate": "random"}, ("--calibrate", "random")),
    "calibration images in fp32": ({"calibration_images": 4}, ("--calibration-images", "4")),
    "top-1 in fp32": ({"min_top1": 0.5}, ("--min-top1", "0.5")),
    "cosine in fp32": ({"min_cosine": 0.5}, ("--min-cosine", "0.5")),
    "fp16 input in fp32": ({"fp16_io": True}, ("--fp16-io",)),
    "int8 without images": ({"precision": "int8"}, ("--precision", "int8")),
    "fp16 input of int8": (
        {"precision": "int8", "calibrate": "random", "fp16_io": True},
        ("--precision", "int8", "--calibrate", "random", "--fp16-io"),
    ),
    "reinit without a checkpoint": ({"reinit": ["head"]}, ("--reinit", "head")),
    "non-finite without a checkpoint": ({"allow_nonfinite": True}, ("--allow-nonfinite",)),
    "a checkpoint without weights": (
        {"targets": ["caffe"], "checkpoint": "w.npz", "weights": False},
        ("--target", "caffe", "--weights", "w.npz", "--no-weights"),
    ),
    "two names alike": ({"input_name": "output"}, ("--input-name", "output")),
}
"""Options that exclude each other, in Python and on the command line."""


@pytest.mark.parametrize("case", CONFLICTS)
def test_options_that_exclude_each_other_are_refused_alike(
    case: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    options, words = CONFLICTS[case]
    with pytest.raises(rg.UsageError) as caught:
        make_options(**{"targets": ["onnx"], "output_dir": "out"} | options)
    result = run("build", "tiny.yaml", *words)
    assert result.code == 2
    assert result.err.strip() == str(caught.value)


def test_options_that_go_together_are_accepted() -> None:
    """Negative control."""
    make_options(["onnx", "caffe"], "out", dialect="opencv", opset=17, external_data=True, verify=True, provider="cpu")
    make_options(["onnx"], "out", precision="int8", calibrate="random", min_top1=0.5)


REFUSED = {
    "a checkpoint for two specs": (
        "a checkpoint belongs to one network",
        ("build", "resnet18", "resnet34", "--weights", "w.npz"),
    ),
    "a parameter of a prototxt": ("--set is for a spec", ("diff", "a.prototxt", "b.prototxt", "--set", "n=1")),
    "an input of a prototxt": ("--input is for a spec", ("diff", "a.prototxt", "b.prototxt", "--input", "3x8x8")),
    "a dialect of prototxts": ("--dialect is for a spec", ("diff", "a.prototxt", "b.prototxt", "--dialect", "opencv")),
    "a provider's option without the provider": (
        "--provider-option is for CUDA",
        ("verify", "resnet18", "--provider-option", "device_id=1"),
    ),
}
"""Other options that do not go together: message and command."""


@pytest.mark.parametrize("case", REFUSED)
def test_other_options_that_do_not_go_together(case: str, run: Run) -> None:
    message, words = REFUSED[case]
    result = run(*words)
    assert result.code == 2
    assert result.err.startswith("error[bad-argument]: ")
    assert message in result.err
