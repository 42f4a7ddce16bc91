"""Normally distributed values from a lookup table: six times as fast as drawing each."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from resnetgen.weights.source import Array

_STEPS = 1 << 16
_CHUNK = 1 << 16
"""Values at a time, few enough to stay in the processor's cache."""


def normal(bits: np.random.BitGenerator, size: int, deviation: float) -> Array:
    """Return `size` float32 values of a normal distribution of mean 0, in 65,536 equally probable steps.

    The steps themselves have mean 0 and standard deviation `deviation`; the outermost are 4.3 deviations from 0.
    """
    table = _quantiles() * np.float32(deviation)
    values = np.empty(size, np.float32)
    for start in range(0, size, _CHUNK):
        part = values[start : start + _CHUNK]
        words = bits.random_raw(-(-part.size // 4)).astype("<u8", copy=False)
        # Every index is in range; `wrap` is the fastest mode.
        np.take(table, words.view("<u2")[: part.size], out=part, mode="wrap")
    return values


@cache
def _quantiles() -> Array:
    """Return the quantiles of the standard normal distribution at the middle of each step.

    The cumulative distribution is integrated from the density by the trapezoidal rule, and inverted by interpolation.
    """
    x: npt.NDArray[np.float64] = np.linspace(-6, 6, 1 << 17)
    density = np.exp(-x * x / 2)
    cumulative = np.cumsum(density) - density / 2
    middles = (np.arange(_STEPS) + 0.5) / _STEPS
    quantiles = np.interp(middles, cumulative / cumulative[-1], x)
    symmetric: npt.NDArray[np.float64] = (quantiles - quantiles[::-1]) / 2
    quantiles32: Array = (symmetric / symmetric.std()).astype(np.float32)
    return quantiles32
