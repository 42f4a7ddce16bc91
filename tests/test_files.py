"""Outputs appear whole or not at all, and a killed build leaves nothing behind for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resnetgen.files import Output, staging

OLD = time.time() - 3600


def leftover(final: Path, name: str, age: float) -> Path:
    folder = final / name
    folder.mkdir()
    (folder / "half.onnx").write_bytes(b"half")
    os.utime(folder, (age, age))
    return folder


def test_a_killed_builds_folder_is_removed_by_the_next_build(tmp_path: Path) -> None:
    dead = leftover(tmp_path, ".staging-dead", OLD)
    young = leftover(tmp_path, ".staging-young", time.time())
    with staging(tmp_path) as alive:
        os.utime(alive.folder, (OLD, OLD))
        with staging(tmp_path):
            pass
        assert alive.folder.is_dir(), "a folder whose build goes on is held"
    assert (dead.exists(), young.exists(), alive.folder.exists()) == (False, True, False)


def test_a_link_in_the_way_of_the_sweep_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "mine").write_text("mine")
    final = tmp_path / "final"
    final.mkdir()
    (final / ".staging-link").symlink_to(precious)
    os.utime(final / ".staging-link", (OLD, OLD), follow_symlinks=False)
    with staging(final):
        pass
    assert (precious / "mine").read_text() == "mine"


@pytest.mark.parametrize("delay", [0.05, 0.15, 0.25, 0.3, 0.35, 0.4])
def test_kill_in_the_middle_of_a_build(tmp_path: Path, delay: float) -> None:
    """No file has its final name before it is whole; what is left goes with the next build."""
    command = [sys.executable, "-m", "resnetgen.cli", "build", "resnet18", "--output-dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    folder = tmp_path / "resnet18"
    model = folder / "resnet18.onnx"
    if model.exists():
        from resnetgen.targets.onnx.decode import read_graph
        from resnetgen.targets.onnx.read import read_file

        read_graph(read_file(model))
    for left in folder.glob(".staging-*"):
        os.utime(left, (OLD, OLD))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "resnet18.onnx"]


def test_what_is_hashed_is_what_is_written(tmp_path: Path) -> None:
    from hashlib import sha256

    path = tmp_path / "file"
    with Output(path) as output:
        output.write(b"some")
        output.write(memoryview(b"thing" * 1000))
    assert (output.size, output.sha256) == (path.stat().st_size, sha256(path.read_bytes()).hexdigest())
