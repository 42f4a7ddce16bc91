"""Agreement of a model of lower precision with its fp32 original, on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from resnetgen.backends.onnxruntime import Device, Session
from resnetgen.errors import Code, Failure, VerificationError
from resnetgen.formats.onnx.precision import Precision
from resnetgen.precision.calibration import Images
from resnetgen.precision.precision_options import PrecisionOptions, Tolerance
from resnetgen.verification.comparison import Agreement, Distance, is_scores


class Measured(Struct, frozen=True):
    precision: Precision
    tolerance: Tolerance
    images: int
    origin: str
    """Source of the images."""
    same: int | None
    """Number of images with the same first class; None if the outputs are not class scores."""
    cosine: float
    """Cosine of all outputs with those of fp32; 0 if one is not finite."""
    faults: tuple[str, ...] = ()

    @property
    def top1(self) -> float | None:
        return None if self.same is None else self.same / self.images

    @property
    def passed(self) -> bool:
        return self.cosine >= self.tolerance.cosine and (self.top1 is None or self.top1 >= self.tolerance.top1)

    @property
    def summary(self) -> str:
        """The result as text: top-1 of 30 of 30 images as in fp32, cosine 0.999664"""
        first = "" if self.same is None else f"top-1 of {self.same} of {self.images} images as in fp32, "
        return f"{first}cosine {self.cosine:.6f}" + "".join(f"; {fault}" for fault in self.faults)

    def to_json(self) -> dict[str, Any]:
        return {
            "precision": self.precision.value,
            "images": self.images,
            "images_of": self.origin,
            "same_top1": self.same,
            "cosine": self.cosine,
        }

    def failure(self) -> Failure:
        """Return the VerificationError of a model that has not passed."""
        message = f"{self.precision} is too far from fp32: {self.summary} ({self.origin})"
        ways = "--calibrate with images like those that will be served" if self.precision is Precision.INT8 else ""
        required = f"top-1 {self.tolerance.top1:g} and cosine {self.tolerance.cosine:g} are required"
        hint = f"{required}; {ways + ', or ' if ways else ''}--min-top1 and --min-cosine accept less"
        return VerificationError.of(Code.PRECISION, message, hint=hint)


def measure(whole: Path, lowered: Path, images: Images, precision: PrecisionOptions) -> Measured:
    """Run both models on ONNX Runtime's CPU provider and compare the outputs. Raises Failure if one does not load."""
    before, after = Session(whole, Device()), Session(lowered, Device())
    distance, agreement = Distance(), Agreement()
    first = before.input.shape[0]
    size = first if isinstance(first, int) else 1
    for number, batch in enumerate(images.batches(size)):
        kept = min(size, len(images.data) - number * size)
        (expected,) = before.run(batch).values()
        (actual,) = after.run(after.cast(batch)).values()
        distance.add(actual[:kept], expected[:kept], (str(precision.target), "fp32"))
        if is_scores(expected):
            agreement.add(actual[:kept], expected[:kept])
    same = agreement.top1 if agreement.images else None
    faults = tuple(dict.fromkeys(distance.faults))
    figures = (len(images.data), images.origin, same, distance.cosine, faults)
    return Measured(precision.target, precision.tolerance, *figures)
