"""The network of the tests of the library, and its weights."""

from __future__ import annotations

import pytest

import resnetgen as rg
from support.helpers import TINY


@pytest.fixture(scope="module")
def net() -> rg.Network:
    return rg.parse(TINY, name="tiny")


@pytest.fixture(scope="module")
def weights(net: rg.Network) -> rg.Weights:
    return rg.Weights.random(net, seed=3, init="random-stats")
