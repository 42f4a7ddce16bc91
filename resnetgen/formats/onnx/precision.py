"""Precisions of a model below fp32."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    FP16 = "fp16"
    """All numbers in fp16, with casts at both ends."""
    INT8 = "int8"
    """Unsigned 8-bit activations; signed 8-bit weights with a scale per channel."""
