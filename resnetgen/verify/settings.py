"""What a user chooses of a verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from resnetgen import ranges
from resnetgen.errors import Code, Exit, fail
from resnetgen.frozen import Frozen
from resnetgen.runtimes.onnxruntime import Device, Provider

TOLERANCE = 1e-4
"""Of the largest absolute value of a tensor. Engines order sums differently: 1e-6 to 1e-5 is usual."""
TOLERANCES = {"fp16": 1e-2, "int8": 1e-1}
"""Of models that say that they have this precision, in place of it: eleven bits of mantissa; eight in all."""


class Settings(Frozen):
    provider: Provider = Provider.CPU
    """Of ONNX Runtime, where a side does not say another."""
    batches: tuple[int, ...] = ()
    """How many images at once, one run after the other; none: what the sides are fixed to, else 1."""
    seed: int = 0
    """Of the random input."""
    inputs: int | None = None
    """How many random images; None: as many as the largest batch."""
    data: tuple[Path, ...] = ()
    """Files of images to be taken instead of random ones."""
    tolerance: float | None = None
    """Of every tensor; None: what the precision of the two sides allows."""
    tolerances: Mapping[str, float] = field(default_factory=dict)
    """Of single tensors, by their names."""
    provider_options: Mapping[str, str] = field(default_factory=dict)
    """Of CUDA's provider."""

    def __post_init__(self) -> None:
        """Raise Failure (exit 2) for a number outside its range."""
        for batch in self.batches:
            ranges.BATCH.require(batch, "--batch")
        ranges.SEED.require(self.seed, "--input-seed")
        ranges.IMAGES.require(self.inputs, "--seeds")
        for tolerance in (self.tolerance, *self.tolerances.values()):
            if tolerance is not None and not 0 < tolerance <= 1:
                message = f"--tolerance: {tolerance} is not more than 0 and at most 1"
                raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message)

    def device(self, provider: str = "") -> Device:
        return Device(Provider(provider or self.provider), self.provider_options)
