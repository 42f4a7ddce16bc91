"""Paths that the system takes and libraries do not: names that are not UTF-8; paths of which a part can be made."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from support.helpers import Run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="such paths are of Linux")


def test_a_path_too_long_leaves_no_folder(run: Run) -> None:
    assert run("build", "tiny.yaml", "--output-dir", "a/b/" + "c" * 300).code == 5
    assert not Path("a").exists()


def test_weights_whose_name_is_not_utf8(run: Run) -> None:
    assert run("build", "tiny.yaml", "--target", "caffe").code == 0
    name = os.fsdecode(b"\xff.caffemodel")
    os.rename("generated/tiny/tiny.caffemodel", name)
    assert run("build", "tiny.yaml", "--weights", name).code == 0
    assert rb"\xff.caffemodel" in Path("generated/tiny/tiny.onnx").read_bytes()
    assert run("deploy", "tiny.yaml", "--server", "onnxruntime", "-o", "served", "--weights", name).code == 0


def test_a_model_whose_path_is_not_utf8(run: Run) -> None:
    folder = os.fsdecode(b"\xff")
    assert run("build", "tiny.yaml", "--output-dir", folder).code == 0
    result = run("verify", "tiny.yaml", "--output-dir", folder)
    assert (result.code, r"\xff/tiny/tiny.onnx: the name is not UTF-8" in result.err) == (5, True)


def test_open_files_run_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary folder cannot be made or removed then, which is one error."""
    assert run("build", "tiny.yaml").code == 0

    def make_nothing(*_: object, **__: object) -> str:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr("tempfile.mkdtemp", make_nothing)
        patch.setattr("shutil.rmtree", make_nothing)
        result = run("verify", "tiny.yaml")
    assert (result.code, result.err.count("error[")) == (5, 1)
