"""onnx's reference evaluator: a second, independent execution, in numpy, node by node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator

from resnetgen.weights.source import Array


def run_reference(model: Path | onnx.ModelProto, feeds: dict[str, npt.NDArray[Any]]) -> dict[str, Array]:
    """Every tensor of the model by name, for one input."""
    proto = onnx.load(str(model)) if isinstance(model, Path) else model
    found = ReferenceEvaluator(proto).run(None, feeds, intermediate=True)
    assert isinstance(found, dict)
    return found
