"""Normally distributed values, looked up: a sixth of the time of drawing each of them."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from resnetgen.weights.source import Array

_STEPS = 1 << 16
_CHUNK = 1 << 16
"""Values at a time: what is looked up stays in the processor's cache."""


def normal(bits: np.random.BitGenerator, size: int, deviation: float) -> Array:
    """`size` values of a normal distribution of mean 0, in 65,536 equally probable steps.

    Of the steps themselves the mean is 0 and the standard deviation `deviation`; the outermost lies at 4.3 deviations.
    """
    table = _quantiles() * np.float32(deviation)
    values = np.empty(size, np.float32)
    for start in range(0, size, _CHUNK):
        part = values[start : start + _CHUNK]
        words = bits.random_raw(-(-part.size // 4)).astype("<u8", copy=False)
        # Every index is in range; to wrap the others costs least.
        np.take(table, words.view("<u2")[: part.size], out=part, mode="wrap")
    return values


@cache
def _quantiles() -> Array:
    """The quantiles of the standard normal distribution at the middle of each step.

    The cumulative distribution is summed up from the density, by the trapezoidal rule, and read the other way.
    """
    x: npt.NDArray[np.float64] = np.linspace(-6, 6, 1 << 17)
    density = np.exp(-x * x / 2)
    cumulative = np.cumsum(density) - density / 2
    middles = (np.arange(_STEPS) + 0.5) / _STEPS
    quantiles = np.interp(middles, cumulative / cumulative[-1], x)
    symmetric: npt.NDArray[np.float64] = (quantiles - quantiles[::-1]) / 2
    quantiles32: Array = (symmetric / symmetric.std()).astype(np.float32)
    return quantiles32
