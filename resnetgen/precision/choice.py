"""What a user chooses of a model's precision."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from resnetgen import ranges
from resnetgen.errors import Code, Exit, fail
from resnetgen.frozen import Frozen
from resnetgen.profiles import Profile, who_loads
from resnetgen.targets.onnx.elements import Element

INT8_OPSET = 13
"""From here on DequantizeLinear has an axis, by which each channel of a weight has a scale of its own."""


class Precision(StrEnum):
    FP16 = "fp16"
    """All numbers, casts at both ends."""
    INT8 = "int8"
    """Activations of eight bits without a sign, weights of eight with one, a scale for each channel."""


class Gate(Frozen):
    """How far a model may be from what it was in fp32; beyond, nothing is published."""

    top1: float
    """The share of images whose first class must stay the same."""
    cosine: float
    """Of the outputs of all images with what they were."""

    def __post_init__(self) -> None:
        """Raise Failure (exit 2) for what no share or cosine is, NaN among it."""
        for option, smallest, value in (("--min-top1", 0, self.top1), ("--min-cosine", -1, self.cosine)):
            if not smallest <= value <= 1:
                raise fail(Exit.USAGE, Code.BAD_ARGUMENT, f"{option}: {value} is outside {smallest} to 1")


GATES = {Precision.FP16: Gate(0.99, 0.9999), Precision.INT8: Gate(0.9, 0.99)}
"""Where a user says nothing."""


class Lowering(Frozen):
    """A precision below fp32, and how a model comes to it."""

    precision: Precision
    gate: Gate
    images: Path | None = None
    """A folder of pictures, or a .npy or .npz file, to calibrate and to compare with; None: random images."""
    count: int | None = None
    """How many images at most; None: as `calibration` says."""
    outer: Element = Element.FP32
    """What an fp16 model takes and gives."""

    def __post_init__(self) -> None:
        """Raise Failure (exit 2) for a number of images outside its range."""
        ranges.IMAGES.require(self.count, "--calibration-images")


def check_opset(precision: Precision, opset: int, runtime: Profile | None) -> None:
    """Raises Failure (exit 2) for an opset, or a runtime, that cannot carry a precision."""
    if precision is not Precision.INT8 or opset >= INT8_OPSET:
        return
    if runtime and runtime.opset < INT8_OPSET:
        message = f"int8 needs opset {INT8_OPSET}, {runtime.name} loads {runtime.opset} at most"
        raise fail(Exit.USAGE, Code.PRECISION, message, hint=f"the oldest that can: {who_loads(INT8_OPSET)}")
    message = f"int8 needs opset {INT8_OPSET}, and opset {opset} was asked for"
    raise fail(Exit.USAGE, Code.PRECISION, message, hint=f"--opset {INT8_OPSET} or above")
