"""Models on ONNX Runtime, to be timed in turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.measure import stopwatch


class Model:
    """A loaded model and an input for it."""

    def __init__(self, path: Path, threads: int) -> None:
        self.session = _session(path, threads)
        (source,) = self.session.get_inputs()
        shape, random = (1, *source.shape[1:]), np.random.default_rng(0)
        is_bytes = source.type == "tensor(uint8)"
        data: Any = random.integers(0, 256, shape, np.uint8) if is_bytes else random.standard_normal(shape, np.float32)
        self.feed = {source.name: data}

    def latency(self) -> float:
        """Milliseconds of a run."""
        with stopwatch() as seconds:
            self.session.run(None, self.feed)
        return 1000 * seconds()


def creation(path: Path, threads: int) -> float:
    """Milliseconds that a session takes to be made."""
    with stopwatch() as seconds:
        _session(path, threads)
    return 1000 * seconds()


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # A thread that spins behind one session's run would take a core from the other's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
