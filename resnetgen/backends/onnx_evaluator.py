"""onnx's reference evaluator: a second, independent execution in numpy, node by node."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from resnetgen.errors import Code, LimitError, ModelError
from resnetgen.weights.source import Array


class LRN(OpRun):
    """LRN in place of onnx's, which is wrong up to 1.23 (it fills as many channels as the batch has images)."""

    op_domain = ""

    def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
        before = (size - 1) // 2
        squares = np.pad(x * x, ((0, 0), (before, size - 1 - before), (0, 0), (0, 0)))
        total = sum(squares[:, first : first + x.shape[1]] for first in range(size))
        return ((x / (bias + alpha / size * total) ** beta).astype(x.dtype),)


class BatchNormalization(OpRun):
    """BatchNormalization in place of onnx's, which is wrong up to 1.23 below opset 14 (it uses the batch's
    statistics)."""

    op_domain = ""

    def _run(
        self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float, **_: object
    ) -> tuple[Array]:
        gamma, beta, mean, variance = (
            values.reshape(-1, *[1] * (x.ndim - 2)) for values in (gamma, beta, mean, variance)
        )
        return ((gamma * (x - mean) / np.sqrt(variance + epsilon) + beta).astype(x.dtype),)


def run_model(model: Path | onnx.ModelProto, feeds: dict[str, npt.NDArray[Any]]) -> dict[str, Array]:
    """Return every tensor of the model by name, for one input.

    In a model of others a value may be a list, a scalar, or an array of a type that numpy lacks. Raises Failure: exit 4
    if the evaluator lacks an op or one fails, exit 6 if memory does not suffice.
    """
    proto = onnx.load(str(model)) if isinstance(model, Path) else model
    try:
        # Overflow, division by zero and the like give Inf and NaN, which the comparison reports.
        with np.errstate(all="ignore"), catch_warnings():
            simplefilter("ignore")
            found = ReferenceEvaluator(proto, new_ops=[LRN, BatchNormalization]).run(None, feeds, intermediate=True)
    except MemoryError as error:
        message = f"there is not enough memory for onnx's reference evaluator: {error}"
        raise LimitError.of(Code.LIMIT, message, hint="fewer images at once: --batch") from None
    except Exception as error:  # ops raise numpy's exceptions; up to 1.23 there is no DequantizeLinear below opset 19
        lines = str(error).strip().splitlines() or [type(error).__name__]
        message = f"onnx's reference evaluator cannot run this model: {lines[0]}"
        raise ModelError.of(Code.UNSUPPORTED, message, hint="--against names what else it is held against") from None
    assert isinstance(found, dict)
    return found


def version() -> str:
    return f"onnx {onnx.__version__}"
