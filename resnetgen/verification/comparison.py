"""Distance between the tensors of two backends, and agreement of their classes, accumulated over images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import frexp, inf, ldexp
from typing import Any

import numpy as np
from msgspec import Struct, field

from resnetgen.weights.source import Array

_SMALL, _LARGE = 1e-100, 1e100
"""Range of values whose squares double precision represents well enough; it includes all of float32."""


class Distance(Struct):
    """Distance of one tensor from the expected one; `add` accumulates parts of the images."""

    unit: float = 0
    """Power of two by which the sums are scaled: 1, except for values whose squares exceed double precision."""
    largest: float = 0
    """max |a - b|"""
    scale: float = 0
    """max |b|"""
    total: float = 0
    """sum |a - b|"""
    count: int = 0
    dot: float = 0
    norms: tuple[float, float] = (0, 0)
    faults: list[str] = field(default_factory=list)
    """Different shapes, NaN and Inf: a tensor with one of these equals no other, not even an identical one."""

    def add(self, actual: Array, expected: Array, names: tuple[str, str]) -> None:
        if _extents(actual) != _extents(expected):
            self.faults.append(f"the shape is {actual.shape} in {names[0]}, {expected.shape} in {names[1]}")
            return
        self.faults += [*_not_finite(actual, names[0]), *_not_finite(expected, names[1])]
        if self.faults:
            return
        a, b = actual.reshape(-1).astype(np.float64), expected.reshape(-1).astype(np.float64)
        self._rescale(max(float(np.abs(values).max(initial=0)) for values in (a, b)))
        if self.unit != 1:
            a, b = a / self.unit, b / self.unit
        self.dot += float(a @ b)
        self.norms = (self.norms[0] + float(a @ a), self.norms[1] + float(b @ b))
        self.scale = max(self.scale, float(np.abs(b).max(initial=0)))
        difference = np.abs(a - b)
        self.largest = max(self.largest, float(difference.max(initial=0)))
        self.total += float(difference.sum())
        self.count += a.size

    def _rescale(self, largest: float) -> None:
        """Change the unit of the sums so that it suits values up to `largest`, too."""
        ordinary = not largest or _SMALL < largest < _LARGE
        unit = max(self.unit, 1.0 if ordinary else ldexp(1, frexp(largest)[1] - 1))
        factor = self.unit / unit
        self.largest, self.scale, self.total = (x * factor for x in (self.largest, self.scale, self.total))
        self.dot, self.norms = self.dot * factor**2, (self.norms[0] * factor**2, self.norms[1] * factor**2)
        self.unit = unit

    @property
    def error(self) -> float:
        """max |a - b| / max |b|; infinite if a value is not finite, or the shapes differ."""
        return inf if self.faults else self.largest / (self.scale or 1)

    @property
    def mean(self) -> float:
        """mean |a - b| / max |b|"""
        return inf if self.faults else self.total / (self.count or 1) / (self.scale or 1)

    @property
    def cosine(self) -> float:
        """Cosine of the angle between the two; 1 if both are zero."""
        if self.faults:
            return 0.0
        lengths = float(np.sqrt(self.norms[0]) * np.sqrt(self.norms[1]))
        return self.dot / lengths if lengths else float(self.norms[0] == self.norms[1])


def _extents(values: Array) -> tuple[int, ...]:
    """Return the shape without extents of 1: a vector may be written NxC or NxCx1x1."""
    return (*values.shape[:1], *(extent for extent in values.shape[1:] if extent != 1))


def _not_finite(values: Array, name: str) -> Iterator[str]:
    if np.isfinite(values).all():
        return
    for what, count in (("NaN", np.isnan(values).sum()), ("Inf", np.isinf(values).sum())):
        if count:
            yield f"{count} {what} in {name}"


class Agreement(Struct):
    """Agreement of the first classes of two backends."""

    images: int = 0
    top1: int = 0
    """Number of images with the same first class."""
    top5: int = 0
    """Number of images with the same set of first five classes."""

    def add(self, actual: Array, expected: Array) -> None:
        if not (is_scores(actual) and is_scores(expected)):
            return
        # In float64, since unsigned bytes cannot be negated.
        a, b = (values.reshape(len(values), -1).astype(np.float64) for values in (actual, expected))
        if a.shape != b.shape:
            return
        self.images += len(a)
        self.top1 += int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
        first = (np.sort(np.argsort(-values, axis=1, kind="stable")[:, :5], axis=1) for values in (a, b))
        self.top5 += int((next(first) == next(first)).all(axis=1).sum())

    def to_json(self) -> dict[str, Any]:
        return {"images": self.images, "top1": self.top1, "top5": self.top5}


def is_scores(values: Array) -> bool:
    """Return True if an output has a number for each of several classes."""
    is_number = values.ndim > 1 and values.dtype.kind != "b"
    return is_number and values.size // max(1, len(values)) == values.shape[1] > 1


class TensorPair(Struct, frozen=True):
    """Names of two tensors that must be equal, one in each backend."""

    actual: str
    expected: str


def pair_outputs(actual: Iterable[str], expected: Iterable[str]) -> list[TensorPair]:
    """Pair outputs by name; if no name is the same but their number is, by order: formats name outputs freely."""
    actual, expected = list(actual), list(expected)
    same = [TensorPair(name, name) for name in actual if name in expected]
    if same or len(actual) != len(expected):
        return same
    return [TensorPair(*names) for names in zip(actual, expected, strict=True)]


class Tensors(Struct, frozen=True):
    """Names of a backend's inner tensors."""

    names: tuple[str, ...]
    folds: bool
    norms: Mapping[str, str]


def pair_inner(actual: Tensors, expected: Tensors) -> list[TensorPair]:
    """Return the inner tensors that both backends have, in the order in which the second computes them."""
    norms = {**actual.norms, **expected.norms}
    theirs = {meaning: name for name, meaning in _meanings(actual, norms)}
    return [TensorPair(theirs[meaning], name) for name, meaning in _meanings(expected, norms) if meaning in theirs]


def _meanings(backend: Tensors, norms: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the meaning of each tensor. A missing norm was folded: the convolution before it computes its values."""
    own = set(backend.names)
    for name in backend.names:
        meaning = name
        while backend.folds and (norm := norms.get(meaning)) and norm not in own:
            meaning = norm
        yield name, meaning
