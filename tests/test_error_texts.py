"""The errors that no spec causes: a command, its exit code and its exact text. Those of specs: test_errors.py."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from resnetgen.cli import main
from resnetgen.errors import Code

TINY = "use: std\ninput: 3x8x8\nstages: {conv1: '8x8 | 3x3, 4', head: gap | fc 3}\n"

TEXTS = {
    Code.MISSING_FILE: (
        "build missing.yaml",
        5,
        "error[missing-file]: no such file: missing.yaml\n",
    ),
    Code.OUTPUT: (
        "build tiny.yaml --output-dir tiny.yaml",
        5,
        "error[output]: cannot write tiny.yaml: Not a directory\n  hint: --output-dir names another folder\n",
    ),
    Code.PROTOTXT_SYNTAX: (
        "diff bad.prototxt resnet18",
        4,
        "bad.prototxt:2:15: error[prototxt-syntax]: unexpected '}'\n"
        "    2 | layer { name: }\n"
        "      |               ^\n"
        "  hint: expected a value\n",
    ),
    Code.BAD_MODEL: (
        "verify bad.onnx",
        4,
        "error[bad-model]: bad.onnx: it is no ONNX model, or only a part of one: a number does not end\n",
    ),
    Code.WEIGHTS: (
        "build tiny.yaml --weights w.npz",
        4,
        "error[weights]: w.npz does not fit tiny by the paths of nodes: 4 missing, 1 of another shape\n"
        "  note: missing: conv1/norm1.gamma, 4 (the gamma of conv1/norm1, tiny.yaml:3)\n"
        "  note: missing: conv1/norm1.beta, 4 (the beta of conv1/norm1, tiny.yaml:3)\n"
        "  note: missing: conv1/norm1.mean, 4 (the mean of conv1/norm1, tiny.yaml:3)\n"
        "  note: missing: conv1/norm1.variance, 4 (the variance of conv1/norm1, tiny.yaml:3)\n"
        "  note: another shape: head/fc.bias is 2, not 3 (the bias of head/fc, tiny.yaml:3)\n"
        "  hint: its norms may be folded into its convolutions: export the model with its norms, here with --no-fold\n",
    ),
    Code.VERIFICATION: (
        "verify tiny.yaml",
        7,
        "error[verification]: generated/tiny/tiny.onnx was built from another state of the spec\n"
        "  hint: build it anew: resnetgen build tiny.yaml --output-dir generated --target onnx\n",
    ),
    Code.PROVIDER: (
        "build tiny.yaml --verify --provider cuda",
        7,
        "error[provider]: nothing ran on CUDA: the session fell back to the CPU: no GPU, no driver, or a CUDA or cuDNN "
        "library is missing\n"
        "  hint: resnetgen[cuda] installs the libraries; a GPU and its driver must be there; --provider auto takes the "
        "CPU\n",
    ),
    Code.BUG: (
        "build tiny.yaml",
        70,
        "error[bug]: tiny.onnx, read back, differs from its graph: the ONNX model cannot be read: conv1/conv1 is "
        "declared as Nx4x8x8, and is Nx4x6x6\n"
        "  hint: this is a bug of resnetgen; nothing was written. Please report it with the spec\n",
    ),
}


@pytest.mark.parametrize("code", TEXTS)
def test_text(code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "bad.prototxt").write_text('name: "x"\nlayer { name: }\n')
    (tmp_path / "bad.onnx").write_bytes(b"\xff")
    _prepare(code, tmp_path, monkeypatch, capsys)
    command, exit, text = TEXTS[code]
    assert run(command, monkeypatch) == exit
    out, err = capsys.readouterr()
    assert (out, err) == ("", text)


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "argv", ["resnetgen", *command.split()])
    with pytest.raises(SystemExit) as exit:
        main(command.split())
    return exit.value.code


def _prepare(code: Code, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if code is Code.PROVIDER:
        import onnxruntime

        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers() or Path("/dev/nvidia0").exists():
            pytest.skip("another text: this ONNX Runtime was built without CUDA, or there is a GPU")
    if code is Code.WEIGHTS:
        shapes = {"conv1/conv1.weight": (4, 3, 3, 3), "head/fc.weight": (3, 4), "head/fc.bias": (2,)}
        np.savez(folder / "w.npz", **{name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    if code is Code.VERIFICATION:
        assert run("build tiny.yaml", monkeypatch) == 0
        (folder / "tiny.yaml").write_text(TINY.replace("fc 3", "fc 4"))
        capsys.readouterr()
    if code is Code.BUG:
        import resnetgen.formats.onnx.lower as translate

        real = translate._conv
        monkeypatch.setattr(translate, "_conv", lambda op: {**real(op), "pads": [0, 0, 0, 0]})
