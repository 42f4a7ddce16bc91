"""Latency of a model that takes bytes against the same that takes floats: python -m benchmarks.embed [SPEC].

The two run in turn; the plain model against itself shows what the machine's noise is. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

from resnetgen.compiler import build
from resnetgen.job import Options


def session(spec: str, folder: Path, embed: bool) -> tuple[Any, dict[str, Any]]:
    (built,) = build([spec], Options(output_dir=folder, embed_preprocess=embed))
    path = next(path for path in built.files if path.suffix == ".onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    # A thread that spins behind one session's run would take a core from the other's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,) = made.get_inputs()
    shape = (1, *source.shape[1:])
    random = np.random.default_rng(0)
    data = random.integers(0, 256, shape, np.uint8) if embed else random.standard_normal(shape, np.float32)
    return made, {source.name: data}


def milliseconds(one: tuple[Any, dict[str, Any]]) -> float:
    start = time.perf_counter()
    one[0].run(None, one[1])
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embed", description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="?", default="torchvision/resnet50")
    parser.add_argument("--rounds", type=int, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        plain, bytes_ = session(options.spec, Path(a), False), session(options.spec, Path(b), True)
        for one in (plain, bytes_, plain):
            milliseconds(one)
        rounds = [[milliseconds(one) for one in (plain, bytes_, plain)] for _ in range(options.rounds)]
    first, embedded, again = (median(times) for times in zip(*rounds, strict=True))
    cost = median(times[1] / times[0] for times in rounds)
    noise = median(times[2] / times[0] for times in rounds)
    print("| model | floats, ms | bytes, ms | ratio | floats again, ms | ratio |\n|---|---|---|---|---|---|")
    print(f"| {options.spec} | {first:.1f} | {embedded:.1f} | {cost:.3f} | {again:.1f} | {noise:.3f} |")


if __name__ == "__main__":
    main()
