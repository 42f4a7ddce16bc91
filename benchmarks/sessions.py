"""Models on ONNX Runtime, timed in turn."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime


class Model:
    """A loaded model and an input for it."""

    def __init__(self, path: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        # A thread that spins behind one session's run would take a core from the other's.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        start = time.perf_counter()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.creation = 1000 * (time.perf_counter() - start)
        """Milliseconds."""
        (source,) = self.session.get_inputs()
        shape, random = (1, *source.shape[1:]), np.random.default_rng(0)
        is_bytes = source.type == "tensor(uint8)"
        data: Any = random.integers(0, 256, shape, np.uint8) if is_bytes else random.standard_normal(shape, np.float32)
        self.feed = {source.name: data}

    def milliseconds(self) -> float:
        start = time.perf_counter()
        self.session.run(None, self.feed)
        return 1000 * (time.perf_counter() - start)


def in_turn(models: list[Model], rounds: int) -> list[list[float]]:
    """For each round the milliseconds of each model, after one run of each that is not counted."""
    for model in models:
        model.milliseconds()
    return [[model.milliseconds() for model in models] for _ in range(rounds)]


def medians(rounds: list[list[float]]) -> list[float]:
    return [median(times) for times in zip(*rounds, strict=True)]


def ratio(rounds: list[list[float]], mine: int, peer: int) -> float:
    """Of the two in the same round: what slows the machine down for a while slows both."""
    return median(times[mine] / times[peer] for times in rounds)
