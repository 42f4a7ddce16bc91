"""Options of a verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

from msgspec import Struct, field

from resnetgen import ranges
from resnetgen.arguments import (
    choose,
    require_int,
    require_items,
    require_mapping,
    require_number,
    require_path,
    require_text,
)
from resnetgen.backends.onnxruntime import Device, Provider
from resnetgen.errors import Code, UsageError

TOLERANCE = 1e-4
"""Default tolerance, relative to a tensor's largest absolute value. Engines order sums differently, which usually gives
1e-6 to 1e-5."""
TOLERANCES = {"fp16": 1e-2, "int8": 1e-1}
"""Default tolerance by a model's precision: fp16 has 11 bits of mantissa, int8 has 8 bits in all."""


class Settings(Struct, frozen=True):
    provider: Provider = Provider.CPU
    """Provider of ONNX Runtime, for backends that do not set one."""
    batches: tuple[int, ...] = ()
    """Batch sizes, run one after another; empty for the fixed batch of the backends, else 1."""
    seed: int = 0
    """Seed of the random images."""
    inputs: int | None = None
    """Number of random images; None for the largest batch size."""
    data: tuple[Path, ...] = ()
    """Files of images to use instead of random ones."""
    tolerance: float | None = None
    """Tolerance of every tensor; None for the default of the backends' precisions."""
    tolerances: Mapping[str, float] = field(default_factory=dict)
    """Tolerances of single tensors, by name."""
    provider_options: Mapping[str, str] = field(default_factory=dict)
    """Options of CUDA's provider."""

    def __post_init__(self) -> None:
        """Raise UsageError for a number out of range."""
        for batch in self.batches:
            ranges.BATCH.require(batch, "--batch")
        ranges.SEED.require(self.seed, "--input-seed")
        ranges.IMAGES.require(self.inputs, "--seeds")
        for tolerance in (self.tolerance, *self.tolerances.values()):
            if tolerance is not None and not 0 < tolerance <= 1:
                message = f"--tolerance: {tolerance} is not more than 0 and at most 1"
                raise UsageError.of(Code.BAD_ARGUMENT, message)

    @classmethod
    def of(
        cls,
        provider: str = "cpu",
        batches: Sequence[int] = (),
        seed: int = 0,
        images: int | None = None,
        data: Sequence[str | PathLike[str]] = (),
        tolerance: float | None = None,
        tolerances: Mapping[str, float] | None = None,
        provider_options: Mapping[str, str] | None = None,
    ) -> Settings:
        """Return settings from plain values. Raises UsageError for a value that is unknown or of the wrong type."""
        named = require_mapping({} if tolerances is None else tolerances, "tolerances")
        options = require_mapping({} if provider_options is None else provider_options, "provider_options")
        return cls(
            choose(Provider, provider, "--provider"),
            tuple(require_int(batch, "batches") for batch in require_items(batches, "batches")),
            require_int(seed, "seed"),
            None if images is None else require_int(images, "images"),
            tuple(require_path(path, "data") for path in require_items(data, "data")),
            None if tolerance is None else require_number(tolerance, "tolerance"),
            {name: require_number(value, f"tolerances[{name!r}]") for name, value in named.items()},
            {name: require_text(value, f"provider_options[{name!r}]") for name, value in options.items()},
        )

    def device(self, provider: str = "") -> Device:
        return Device(Provider(provider or self.provider), self.provider_options)
