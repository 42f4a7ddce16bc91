"""Emission

Writing ResNet-50's ONNX from weights that stand in memory, against writing and hashing (SHA-256) the bytes of that
file, a MiB at a time. Both in one process; neither waits for the disk.
"""

from __future__ import annotations

import gc
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figure import Result, compare
from benchmarks.measure import Bench, in_turn, stopwatch

if TYPE_CHECKING:
    from resnetgen.weights.source import Array, Key

CHUNK = 1 << 20


@dataclass(frozen=True)
class Prepared:
    """Weights that are made already."""

    arrays: dict[Key, Array]

    def tensor(self, node: str, parameter: str) -> Array:
        return self.arrays[node, parameter]


def figures(bench: Bench) -> Iterator[Result]:
    from resnetgen.formats.onnx.write import OnnxOptions, plan, write
    from resnetgen.network import compile_spec
    from resnetgen.passes.pipeline import run_passes
    from resnetgen.weights.initialise import Initialised

    gc.disable()  # as cli.run does
    graph = compile_spec("resnet50").graph
    folded, weights = run_passes(graph, Initialised(graph))
    planned = plan(folded, OnnxOptions())
    prepared = Prepared({key: weights.tensor(*key) for key in planned.shapes})
    with tempfile.TemporaryDirectory() as made:
        model, copy = Path(made) / "model.onnx", Path(made) / "copy"
        write(planned, prepared, model)
        data = model.read_bytes()

        def ours() -> float:
            model.unlink()
            with stopwatch() as seconds:
                write(planned, prepared, model)
            return seconds()

        def plain() -> float:
            copy.unlink(missing_ok=True)
            with stopwatch() as seconds, copy.open("xb") as file:
                digest = hashlib.sha256()
                for start in range(0, len(data), CHUNK):
                    chunk = data[start : start + CHUNK]
                    file.write(chunk)
                    digest.update(chunk)
            return seconds()

        rounds = in_turn([ours, plain], 3 * bench.runs)
        assert model.read_bytes() == data
        assert copy.read_bytes() == data
    yield compare("emit ResNet-50", "writing and hashing its bytes", "s", rounds, limit=1.5)
