"""The CUDA path on a machine that has a GPU. Elsewhere tests/test_cli.py holds its refusal."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from resnetgen.compiler import build
from resnetgen.job import Options
from resnetgen.runtimes.onnxruntime import CUDA, Provider
from resnetgen.verify import Settings
from resnetgen.weights.initialise import Init


def has_gpu() -> bool:
    try:
        return ctypes.CDLL("libcuda.so.1").cuInit(0) == 0
    except OSError:
        return False


pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not has_gpu(), reason="no GPU")]


@pytest.mark.parametrize("fold", [True, False])
def test_every_node_runs_on_cuda_and_agrees(tmp_path: Path, fold: bool) -> None:
    settings = Settings(Provider.CUDA, batches=(2,))
    options = Options(output_dir=tmp_path, init=Init.RANDOM_STATS, fold=fold, verify=settings)
    (built,) = build(["resnet50"], options)
    assert built.report is not None
    assert built.report.passed
    assert CUDA in built.report.provider
    assert "CPU" not in built.report.provider
