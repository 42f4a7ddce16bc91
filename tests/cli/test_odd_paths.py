"""Paths that the system takes and libraries do not: names that are not UTF-8; paths of which a part can be made."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

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
    """A temporary folder cannot be removed then, which is no second error."""
    assert run("build", "tiny.yaml").code == 0

    def open_nothing(path: object, *_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    def remove_nothing(path: object, ignore_errors: bool = False, onerror: Any = None, onexc: Any = None) -> None:
        """Report the error as Python 3.11 does, or as later ones do."""
        if ignore_errors:
            return
        error = _raised(open_nothing, path)
        if onexc:
            onexc(os.open, path, error[1])
        else:
            onerror(os.open, path, error)

    with monkeypatch.context() as patch:
        patch.setattr("resnetgen.verification.sides.write", open_nothing)
        patch.setattr("shutil.rmtree", remove_nothing)
        result = run("verify", "tiny.yaml")
    assert (result.code, result.err.count("error[")) == (5, 1)


def _raised(call: Any, path: object) -> Any:
    try:
        call(path)
    except OSError:
        return sys.exc_info()
