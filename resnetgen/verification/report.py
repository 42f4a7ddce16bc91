"""Results of a verification."""

from __future__ import annotations

from math import isfinite
from typing import Any

from msgspec import Struct

from resnetgen.errors import Code, Failure, Problem, VerificationError
from resnetgen.escape import escape, plural
from resnetgen.verification.backends import BackendInfo
from resnetgen.verification.comparison import Agreement


class TensorDistance(Struct, frozen=True):
    """Distance of one tensor from the expected one."""

    name: str
    place: str
    """Line in the spec or the prototxt; empty if it is unknown."""
    is_output: bool
    error: float
    """max |a - b| / max |b|; infinite if a value is not finite, or the shapes differ."""
    mean: float
    """mean |a - b| / max |b|"""
    cosine: float
    tolerance: float
    faults: tuple[str, ...] = ()
    """NaN, Inf and different shapes, with the backend."""

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, with None for infinity."""
        return {
            "name": self.name,
            "place": self.place,
            "output": self.is_output,
            "error": self.error if isfinite(self.error) else None,
            "mean": self.mean if isfinite(self.mean) else None,
            "cosine": self.cosine,
            "tolerance": self.tolerance,
            "faults": list(self.faults),
            "passed": self.passed,
        }


class Comparison(Struct, frozen=True):
    """Comparison of one backend with the first, at one batch size."""

    backend: BackendInfo
    against: BackendInfo
    batch: int
    images: int
    layers: tuple[TensorDistance, ...]
    """Layers in the order of computation; the outputs come last, from the unmodified model."""
    agreement: Agreement | None
    """Agreement of the first classes; None if the outputs are not class scores."""

    @property
    def first_difference(self) -> TensorDistance | None:
        return next((layer for layer in self.layers if not layer.passed), None)

    def __repr__(self) -> str:
        first = self.first_difference
        result = f"{first.name} differs" if first else "equal"
        tensors = plural(len(self.layers), "tensor")
        names = f"{self.backend.name} with {self.against.name}, batch {self.batch}"
        return escape(f"<Comparison {names}: {result}, {tensors}>")

    @property
    def largest(self) -> TensorDistance:
        return max(self.layers, key=lambda layer: layer.error)

    def to_json(self) -> dict[str, Any]:
        first = self.first_difference
        return {
            "backend": self.backend.name,
            "against": self.against.name,
            "batch": self.batch,
            "images": self.images,
            "passed": first is None,
            "first_difference": first.name if first else None,
            "agreement": self.agreement.to_json() if self.agreement else None,
            "layers": [layer.to_json() for layer in self.layers],
        }

    def problem(self, first: TensorDistance) -> Problem:
        place = f" ({first.place})" if first.place else ""
        on = "" if self.backend.name.endswith(self.backend.file) else f" on {self.backend.name}"
        what = f"{self.backend.file}{on}: the first layer that differs is {first.name}{place}: "
        if first.faults:
            what += "; ".join(first.faults)
        else:
            what += f"{first.error:.2e} of its largest value, the tolerance is {first.tolerance:.0e}"
        hint = "the model was changed after it was built, or built from another spec, seed or --init"
        notes = (f"compared with {self.against.name}: {self.against.file}, batch {self.batch}",)
        return Problem(Code.VERIFICATION, what, None, hint, notes)


class Report(Struct, frozen=True):
    subject: str
    inputs: str
    """Source of the images."""
    backends: tuple[BackendInfo, ...]
    """Backends; the others are compared with the first."""
    comparisons: tuple[Comparison, ...]
    tolerance: float

    @property
    def failed(self) -> Comparison | None:
        return next((one for one in self.comparisons if one.first_difference), None)

    @property
    def first_difference(self) -> TensorDistance | None:
        return self.failed.first_difference if self.failed else None

    @property
    def passed(self) -> bool:
        return self.failed is None

    def to_json(self) -> dict[str, Any]:
        first = self.first_difference
        return {
            "subject": self.subject,
            "passed": self.passed,
            "first_difference": first.name if first else None,
            "place": first.place if first else None,
            "tolerance": self.tolerance,
            "inputs": self.inputs,
            "backends": [backend.to_json() for backend in self.backends],
            "comparisons": [one.to_json() for one in self.comparisons],
        }

    def failure(self) -> Failure:
        """Return the error of a report that has not passed, with the first difference of each comparison."""
        differences = ((one, one.first_difference) for one in self.comparisons)
        return VerificationError(tuple(one.problem(first) for one, first in differences if first))

    def raise_if_different(self) -> None:
        """Raise VerificationError with the first difference of each comparison; return None if all are equal."""
        if not self.passed:
            raise self.failure()

    def __repr__(self) -> str:
        first = self.first_difference
        result = f"different, first in {first.name}" if first else "equal"
        return escape(f"<Report {self.subject}: {result}, {plural(len(self.comparisons), 'comparison')}>")
