"""Embedded preprocessing

A model that takes bytes and prepares them itself, against the same that takes floats, on ONNX Runtime with 2 threads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Result
from benchmarks.measure import Bench
from benchmarks.suite.inference import latency

SPECS = {"torchvision/resnet50": "torchvision's ResNet-50", "resnet50": "ResNet-50"}


def figures(bench: Bench) -> Iterator[Result]:
    for spec, name in SPECS.items():
        with tempfile.TemporaryDirectory() as made:
            floats, bytes_ = (built(spec, Path(made) / kind, kind == "bytes") for kind in ("floats", "bytes"))
            yield latency(f"run {name} on bytes", "on floats", bytes_, floats, 2, 20 * bench.runs, None)


def built(spec: str, folder: Path, embed: bool) -> Path:
    from resnetgen.build.options import Options
    from resnetgen.build.run import build

    (done,) = build([spec], Options(output_dir=folder, embed_preprocess=embed))
    return next(path for path in done.files if path.suffix == ".onnx")
