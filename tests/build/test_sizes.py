"""Models at the limit of protobuf and far beyond it: built, read back and loaded, in memory that does not grow.

Gigabytes of disk and of memory, so left out unless asked for: pytest -m big
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from resnetgen.formats.onnx import validate
from resnetgen.formats.onnx import write as onnx
from resnetgen.formats.onnx.write import MAX_PROTOBUF, OnnxOptions, OnnxPlan
from resnetgen.ir.graph import Graph
from resnetgen.weights.initialise import Initialised
from support.helpers import Run, compile_text

WIDTH = 4096
"""A layer of this width to this width has 64 MiB of weights."""
LAYER = 4 * WIDTH * WIDTH
GROWTH = 128 << 20
"""Bytes of memory that a model of gigabytes may take beyond one of 256 MiB."""


def spec(layers: int, last: int = 10) -> str:
    rows = " | ".join([f"fc {WIDTH}"] * layers)
    return f"use: std\nname: wide\ninput: {WIDTH}x1x1\nstages: {{head: {f'flatten | {rows} | fc {last}'!r}}}\n"


def padded(graph: Graph, size: int) -> tuple[OnnxOptions, OnnxPlan]:
    """Options with so long a word in the metadata that the model takes `size` bytes."""
    letters = 100
    for _ in range(5):  # the length's own length may change
        options = OnnxOptions(metadata={"letters": "x" * letters})
        planned = onnx.plan(graph, options)
        if planned.size == size:
            return options, planned
        letters += size - planned.size
    raise AssertionError(f"{planned.size} instead of {size}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Empty after the test, where pytest would keep gigabytes."""
    with TemporaryDirectory(dir=tmp_path) as name:
        yield Path(name)


def loaded(path: Path) -> None:
    """By onnx without the weights, and by ONNX Runtime, which runs it."""
    import onnx
    import onnxruntime

    if path.with_name(f"{path.name}.data").exists():
        assert onnx.load(path, load_external_data=False).graph.initializer
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"input": np.ones((1, WIDTH, 1, 1), np.float32)})
    assert np.isfinite(output).all()
    assert np.abs(output).max() > 0


@pytest.mark.parametrize(("letters", "pretrained"), [(0, False), (200, False), (20_000, False), (200, True)])
def test_the_size_is_known_before_a_byte_is_written(tmp_path: Path, letters: int, pretrained: bool) -> None:
    graph = compile_text(spec(1))
    late = {"resnetgen.weights_sha256": "0" * 64} if pretrained else {}
    options = OnnxOptions(
        metadata={"letters": "x" * letters}, late_metadata=lambda: late, late_bytes=128 if pretrained else 0
    )
    planned = onnx.plan(graph, options)
    onnx.write(planned, Initialised(graph), tmp_path / "model.onnx")
    over = planned.size - (tmp_path / "model.onnx").stat().st_size
    assert over == 0 or (pretrained and 0 < over < 64)


def test_external_data_begins_one_byte_beyond_the_limit() -> None:
    graph = compile_text(spec(31, 4060))
    assert not padded(graph, MAX_PROTOBUF)[1].external
    assert padded(graph, MAX_PROTOBUF + 1)[1].external


def test_a_caffemodel_beyond_the_limit_is_refused_before_anything_is_written(run: Run) -> None:
    Path("wide.yaml").write_text(spec(32))
    before = sorted(Path().rglob("*"))
    result = run("build", "wide.yaml", "--target", "onnx", "--target", "caffe")
    assert result.code == 6
    assert "a caffemodel cannot hold more than 2,147,483,647" in result.err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.big
@pytest.mark.parametrize("size", [2**31 - 2, 2**31 - 1, 2**31])
def test_a_model_at_the_limit_is_built_and_loaded(folder: Path, size: int) -> None:
    graph = compile_text(spec(31, 4060))
    options, planned = padded(graph, size)
    path = folder / "wide.onnx"
    checksums = onnx.write(planned, Initialised(graph), path)
    assert validate.validate(path, graph, planned, options, checksums) == []
    if size > MAX_PROTOBUF:
        assert path.stat().st_size < 1 << 20 < path.with_name("wide.onnx.data").stat().st_size
    else:
        assert path.stat().st_size == size
    loaded(path)


PEAK = """
import os, subprocess, sys
running = subprocess.Popen([sys.executable, "-c", "from resnetgen.cli import run; run()", *sys.argv[1:]])
_, status, usage = os.wait4(running.pid, 0)
print(usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A process of its own, since Linux counts what a child shares with a large one for a part of the child's peak."""


def peak(folder: Path, layers: int) -> tuple[Path, int]:
    """The model of so many layers, and the most memory that building it, reading it back included, took."""
    (folder / f"wide{layers}.yaml").write_text(spec(layers))
    words = ["build", f"wide{layers}.yaml", "--output-dir", str(folder)]
    done = subprocess.run([sys.executable, "-c", PEAK, *words], cwd=folder, capture_output=True, text=True, check=True)
    return folder / f"wide{layers}" / f"wide{layers}.onnx", int(done.stdout.split()[-1])


@pytest.mark.big
def test_six_gigabytes_in_memory_that_does_not_grow(folder: Path) -> None:
    small, low = peak(folder, 4)
    large, high = peak(folder, 96)
    data = large.with_name(f"{large.name}.data")
    assert not small.with_name(f"{small.name}.data").exists()
    assert data.stat().st_size > 96 * LAYER >= 6 << 30
    print(
        f"peak memory {low / 2**20:.0f} MiB at {small.stat().st_size / 2**20:.0f} MiB, {high / 2**20:.0f} MiB at 6 GiB"
    )
    assert high - low < GROWTH
    files = json.loads(large.with_name("manifest.json").read_text())["files"]
    assert files[data.name]["bytes"] == data.stat().st_size
    loaded(large)
