"""The CUDA path on a machine that has a GPU. tests/cli/test_cli.py and test_verify.py test its refusal elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.backends.onnxruntime import CUDA, Provider
from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.verification import Settings
from resnetgen.verification.verify import Verified, verify_files
from resnetgen.weights.initialise import Init

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("fold", [True, False])
def test_every_node_runs_on_cuda_and_agrees(tmp_path: Path, fold: bool) -> None:
    settings = Settings(Provider.CUDA, batches=(2,))
    options = Options(output_dir=tmp_path, init=Init.RANDOM_STATS, fold=fold, verify=settings)
    (built,) = build(["resnet50"], options)
    assert built.report is not None
    assert built.report.passed
    backend = built.report.backends[1]
    assert set(backend.nodes.values()) == {CUDA}
    assert backend.notes == ("TF32 off",)


def test_cpu_and_cuda_are_two_sides(tmp_path: Path) -> None:
    build(["resnet18"], Options(output_dir=tmp_path, init=Init.RANDOM_STATS))
    backends = Verified("resnet18", ("onnxruntime:cpu", "onnxruntime:cuda"), output_dir=tmp_path)
    report = verify_files(backends, Settings(inputs=32, batches=(1, 8), provider_options={"device_id": "0"}))
    assert report.passed
    for one in report.comparisons:
        assert one.agreement
        assert (one.agreement.images, one.agreement.top1) == (32, 32)


def test_tf32_is_stated_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it rounds depends on the GPU; what the report says does not."""
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    build(["resnet18"], Options(output_dir=tmp_path, init=Init.RANDOM_STATS))
    backends = Verified("resnet18", ("onnxruntime:cpu", "onnxruntime:cuda"), output_dir=tmp_path)
    report = verify_files(backends, Settings(tolerance=0.1, provider_options={"use_tf32": "1"}))
    assert report.backends[1].notes == ("TF32 on",)
