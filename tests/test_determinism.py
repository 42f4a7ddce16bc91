"""The same spec, seed and versions give the same bytes, whatever the process, the place and the settings around it.

Other interpreters are compared where they are named, each of an environment in which resnetgen is installed:
RESNETGEN_PYTHONS=/path/to/python3.12:/path/to/python3.13 pytest tests/test_determinism.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.harness import Tree, tree
from support import needs
from support.helpers import TINY

ARGUMENTS = "--target onnx --target caffe --target ir --init random-stats"


def built(
    folder: Path, python: str = sys.executable, seed: int = 0, umask: int = -1, code: str = "", **settings: str
) -> Tree:
    """What a new process makes in `folder`, where it works: the SHA-256 of every file. `code`: runs the program."""
    folder.mkdir()
    (folder / "tiny.yaml").write_text(TINY)
    program = ["-c", code] if code else ["-m", "resnetgen.cli"]
    words = [python, *program, "build", "tiny.yaml", *ARGUMENTS.split(), "--seed", str(seed)]
    environment = os.environ | settings
    subprocess.run(words, cwd=folder, env=environment, umask=umask, stdout=subprocess.DEVNULL, check=True)
    made = tree(folder / "generated")
    assert {Path(name).suffix for name in made} == {"", ".onnx", ".caffemodel", ".prototxt", ".txt", ".json"}
    return made


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return built(tmp_path_factory.mktemp("determinism") / "plain", PYTHONHASHSEED="0")


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "OMP_NUM_THREADS": "1"},
        {"PYTHONHASHSEED": "4242", "TZ": "UTC", "LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.UTF-8", "OMP_NUM_THREADS": "7"},
        {"PYTHONHASHSEED": "random", "PYTHONOPTIMIZE": "1", "PYTHONUTF8": "0", "PYTHON_CPU_COUNT": "1", "HOME": "/"},
    ],
    ids=lambda settings: f"hash seed {settings['PYTHONHASHSEED']}",
)
def test_the_same_bytes_in_other_surroundings(tmp_path: Path, wanted: Tree, settings: dict[str, str]) -> None:
    place = tmp_path / "elsewhere than the first, and with spaces"
    assert built(place, umask=0o077, **settings) == wanted


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a core")
def test_the_same_bytes_on_one_core(tmp_path: Path, wanted: Tree) -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        assert built(tmp_path / "one") == wanted
    finally:
        os.sched_setaffinity(0, cores)


def test_another_seed_gives_other_bytes(tmp_path: Path, wanted: Tree) -> None:
    """The control: the comparison sees the weights, and only they differ."""
    other = built(tmp_path / "other", seed=1)
    differ = {Path(name).suffix for name in wanted if wanted[name] != other[name]}
    assert differ == {".onnx", ".caffemodel", ".json"}


@pytest.mark.pythons
@pytest.mark.parametrize("python", needs.other_pythons() or [""])
def test_the_same_bytes_from_another_python(tmp_path: Path, wanted: Tree, python: str) -> None:
    """numpy's version stands in the ONNX model, and so in the manifest's sums; it is told that it is ours."""
    import numpy

    told = f"import numpy; numpy.__version__ = {numpy.__version__!r}; from resnetgen.cli import run; run()"
    assert built(tmp_path / "other", python, code=told) == wanted
