"""Number types of a network, as an ONNX file stores them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np

from resnetgen.formats.onnx.model.schema import TensorProto
from resnetgen.weights.source import Array, Stored


class FloatType(StrEnum):
    FP32 = "fp32"
    FP16 = "fp16"

    @property
    def proto(self) -> int:
        """TensorProto.DataType of the type."""
        return TensorProto.FLOAT if self is FloatType.FP32 else TensorProto.FLOAT16

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32 if self is FloatType.FP32 else np.float16)

    @property
    def largest(self) -> float:
        """Largest finite value: 65504 in fp16."""
        return float(np.finfo(self.dtype).max)


def of_proto(data_type: object) -> FloatType | None:
    """Return the type of a TensorProto.DataType; None if it is not a type of a network's numbers."""
    return next((kind for kind in FloatType if kind.proto == data_type), None)


def rounded_to(values: Array, kind: FloatType) -> Stored:
    """Round each value to the nearest one of the type; values beyond its range become infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16) if kind is FloatType.FP16 else values
