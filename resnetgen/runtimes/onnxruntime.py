"""ONNX Runtime: runs a model and says on which provider each node ran."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.weights.source import Array

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_CUDA_OPTIONS = {"use_tf32": "0"}
"""TF32 rounds to ten bits of mantissa; it is on by default and would drown what is looked for."""


class Provider(StrEnum):
    """What is asked for. `auto`: CUDA where it works, else the CPU."""

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"


@dataclass(frozen=True)
class Run:
    outputs: dict[str, Array]
    providers: dict[str, str]
    """Node as ONNX Runtime executed it (it fuses and renames some) -> its provider."""

    @property
    def summary(self) -> str:
        """CUDAExecutionProvider (54 nodes), CPUExecutionProvider (2 nodes)."""
        counts = Counter(self.providers.values())
        return ", ".join(f"{provider} ({count} nodes)" for provider, count in sorted(counts.items()))


def run(model: Path | bytes, feeds: dict[str, npt.NDArray[Any]], provider: Provider) -> Run:
    """All outputs of a model for one input.

    Raises Failure: exit 4 where the model does not load, exit 7 where `cuda` was asked for and any node ran elsewhere.
    """
    with tempfile.TemporaryDirectory(prefix="resnetgen-profile-") as folder:
        session = _session(model, provider, Path(folder))
        names = [output.name for output in session.get_outputs()]
        values: list[Array] = session.run(names, feeds)
        nodes = _node_providers(Path(session.end_profiling()))
    strays = sorted(node for node, where in nodes.items() if where != CUDA)
    if provider is Provider.CUDA and strays:
        listed = ", ".join(strays[:10]) + (" ..." if len(strays) > 10 else "")
        message = f"{len(strays)} of {len(nodes)} nodes did not run on CUDA: {listed}"
        raise fail(Exit.VERIFICATION, Code.PROVIDER, message, hint="--provider auto accepts this")
    return Run(dict(zip(names, values, strict=True)), nodes)


@cache
def _engine() -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)  # what matters is checked below; its log would go to the terminal
    return onnxruntime


def _session(model: Path | bytes, provider: Provider, folder: Path) -> Any:
    engine = _engine()
    options = engine.SessionOptions()
    options.log_severity_level = 4
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "run")
    wants_cuda = provider is not Provider.CPU and CUDA in engine.get_available_providers()
    if provider is Provider.CUDA and not wants_cuda:
        raise _no_cuda("this ONNX Runtime was built without it")
    providers: list[Any] = [(CUDA, _CUDA_OPTIONS), CPU] if wants_cuda else [CPU]
    source = str(model) if isinstance(model, Path) else model
    try:
        session = engine.InferenceSession(source, options, providers=providers)
    except Exception as error:
        # ONNX Runtime raises classes of its own, without a common base.
        raise fail(Exit.MODEL, Code.BAD_MODEL, f"ONNX Runtime refuses the model: {_first_line(error)}") from None
    session.disable_fallback()
    if provider is Provider.CUDA and CUDA not in session.get_providers():
        raise _no_cuda("the session fell back to the CPU: no GPU, no driver, or a CUDA or cuDNN library is missing")
    return session


def _no_cuda(why: str) -> Failure:
    hint = "resnetgen[cuda] installs the libraries; a GPU and its driver must be there; --provider auto takes the CPU"
    return fail(Exit.VERIFICATION, Code.PROVIDER, f"nothing ran on CUDA: {why}", hint=hint)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _node_providers(profile: Path) -> dict[str, str]:
    events = json.loads(profile.read_text(encoding="utf-8"))
    suffix = "_kernel_time"
    return {
        event["name"].removesuffix(suffix): event["args"]["provider"]
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(suffix)
    }


def random_input(shape: tuple[int, ...], seed: int) -> Array:
    """Standard normal values: what a normalised image looks like to a network."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
