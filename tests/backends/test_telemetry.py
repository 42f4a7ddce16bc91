"""ONNX Runtime reports its use to its makers (seen with 1.31); none of our commands lets it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.helpers import TINY

_SAID = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI")


def files_at_home(home: Path, *arguments: str) -> set[str]:
    """Run a program and return the names of the files that it left in its home."""
    home.mkdir(exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name not in _SAID}
    env = {**kept, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, *arguments], env=env, check=True, capture_output=True)
    return {path.name for path in home.rglob("*")}


@pytest.mark.parametrize(
    "arguments",
    [("--verify",), ("--precision", "fp16"), ("--precision", "int8", "--calibrate", "random")],
    ids=["verify", "fp16", "int8"],
)
def test_the_engine_keeps_no_events(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    assert files_at_home(tmp_path / "home", "-m", "resnetgen.cli", "build", "tiny.yaml", *arguments) == set()


def test_the_switch_stands_before_the_engine_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = """
import os, sys
from importlib.abc import MetaPathFinder
from resnetgen.backends.onnxruntime import load_engine

class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        assert name != "onnxruntime" or os.environ["ORT_DISABLE_TELEMETRY"] == "1"

sys.meta_path.insert(0, Finder())
load_engine()
"""
    assert files_at_home(tmp_path, "-c", code) == set()
