"""Options of a model's precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from resnetgen import ranges
from resnetgen.arguments import choose, require_flag, require_int, require_number, require_path
from resnetgen.errors import Code, UsageError
from resnetgen.formats.onnx.number_types import FloatType
from resnetgen.formats.onnx.precision import Precision
from resnetgen.profiles import Profile, who_loads

INT8_OPSET = 13
"""Opset from which DequantizeLinear has an axis, which gives each channel of a weight its own scale."""


class Tolerance(Struct, frozen=True):
    """Required agreement of a model with fp32; a model below it is not published."""

    top1: float
    """Smallest share of images whose first class stays the same, 0 to 1."""
    cosine: float
    """Smallest cosine of the outputs of all images with those in fp32, -1 to 1."""

    def __post_init__(self) -> None:
        """Raise UsageError for a value out of range, or NaN."""
        for option, smallest, value in (("--min-top1", 0, self.top1), ("--min-cosine", -1, self.cosine)):
            if not smallest <= value <= 1:
                raise UsageError.of(Code.BAD_ARGUMENT, f"{option}: {value} is outside {smallest} to 1")


TOLERANCES = {Precision.FP16: Tolerance(0.99, 0.9999), Precision.INT8: Tolerance(0.9, 0.99)}
"""Default thresholds."""


class PrecisionOptions(Struct, frozen=True):
    """A precision below fp32, and the options for reaching it."""

    target: Precision
    tolerance: Tolerance
    images: Path | None = None
    """Folder of pictures, or .npy or .npz file, for calibration and comparison; None for random images."""
    count: int | None = None
    """Limit of images; None for the default of `calibration`."""
    outer: FloatType = FloatType.FP32
    """Type of an fp16 model's input and output."""

    def __post_init__(self) -> None:
        """Raise UsageError for a number of images out of range."""
        ranges.IMAGES.require(self.count, "--calibration-images")


def precision_options(
    precision: str,
    calibrate: Any = None,
    calibration_images: Any = None,
    min_top1: Any = None,
    min_cosine: Any = None,
    fp16_io: Any = False,
) -> PrecisionOptions:
    """Return the options of a precision from plain values; `calibrate` is a path, or "random".

    Raises UsageError for a value that is unknown or out of range, and for options that exclude each other.
    """
    chosen = choose(Precision, precision, "--precision")
    if chosen is Precision.INT8 and not calibrate:
        hint = "add --calibrate FOLDER, or --calibrate random"
        raise UsageError.of(Code.BAD_ARGUMENT, "int8 needs images for its ranges", hint=hint)
    if chosen is Precision.INT8 and require_flag(fp16_io, "fp16_io"):
        message = "--fp16-io is for --precision fp16"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="leave it out")
    default = TOLERANCES[chosen]
    top1 = default.top1 if min_top1 is None else require_number(min_top1, "min_top1")
    cosine = default.cosine if min_cosine is None else require_number(min_cosine, "min_cosine")
    count = None if calibration_images is None else require_int(calibration_images, "calibration_images")
    images = None if calibrate in (None, "random") else require_path(calibrate, "calibrate")
    outer = FloatType.FP16 if require_flag(fp16_io, "fp16_io") else FloatType.FP32
    return PrecisionOptions(chosen, Tolerance(top1, cosine), images, count, outer)


def check_opset(precision: Precision, opset: int, runtime: Profile | None) -> None:
    """Raise UsageError if a precision needs a newer opset than the one chosen or the runtime's."""
    if precision is not Precision.INT8 or opset >= INT8_OPSET:
        return
    if runtime and runtime.opset < INT8_OPSET:
        message = f"int8 needs opset {INT8_OPSET}, {runtime.name} loads {runtime.opset} at most"
        raise UsageError.of(Code.PRECISION, message, hint=f"the oldest that can: {who_loads(INT8_OPSET)}")
    message = f"int8 needs opset {INT8_OPSET}, and opset {opset} was asked for"
    raise UsageError.of(Code.PRECISION, message, hint=f"--opset {INT8_OPSET} or above")
