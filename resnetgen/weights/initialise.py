"""Seeded initialisation: as the paper's authors did it, or with random statistics, so that a wrong fold is noticed."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from math import prod, sqrt

import numpy as np

from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Moments
from resnetgen.weights.draw import keys
from resnetgen.weights.normal import normal
from resnetgen.weights.source import Array


class Init(StrEnum):
    HE = "he"
    RANDOM_STATS = "random-stats"


class Initialised:
    """Weights drawn when asked for. Each tensor has its own random stream, so they can be drawn in any order.

    `he`: weights from a normal distribution of standard deviation sqrt(2 / fan_in) (He et al. 2015, equation 10),
    biases 0, gamma 1, beta 0 and mean 0. The variance of a norm is the expected one of its input, so that the network
    computes as in its first batch of training; with a variance of 1, each block of a deep network would double its
    input, and gates would saturate.
    `random-stats`: the same weights, but random biases, gammas, betas, means and variances around the values above.
    """

    def __init__(self, graph: Graph, seed: int = 0, init: Init = Init.HE) -> None:
        self.seed = seed
        self.init = init
        self._shapes = keys(graph)
        self._moments = input_moments(graph)

    def tensor(self, node: str, parameter: str) -> Array:
        shape = self._shapes[node, parameter]
        moment = self._moments[node]
        if self.init is Init.HE and parameter != "weight":
            return np.full(shape, {"gamma": 1, "variance": moment}.get(parameter, 0), np.float32)
        random = self._stream(node, parameter)
        match parameter:
            case "weight":
                return normal(random.bit_generator, prod(shape), sqrt(2 / prod(shape[1:]))).reshape(shape)
            case "gamma":
                values = random.uniform(0.5, 1.5, shape)
            case "variance":
                values = moment * random.uniform(0.5, 1.5, shape)
            case "mean":
                values = sqrt(moment) * 0.2 * random.standard_normal(shape)
            case _:
                values = 0.2 * random.standard_normal(shape)
        return values.astype(np.float32)

    def _stream(self, node: str, parameter: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self.seed}/{node}.{parameter}".encode()).digest()
        return np.random.Generator(np.random.SFC64(np.frombuffer(digest, dtype="<u4")))


def input_moments(graph: Graph) -> dict[str, float]:
    """Return for each node the expected second moment of its (first) input, if the network's input is standard normal.

    A weight of variance 2 / fan_in doubles the moment, a ReLU halves it, a norm sets it to about one, a sum adds. A
    ReLU keeps the moment of a sum with the output of another ReLU: in a residual network it grows with every block of a
    stage, and norms with a smaller variance would let each block multiply it. `moments` of each op has its rule.
    """
    outputs: dict[str, Moments] = {}
    for node in graph.nodes:
        outputs[node.name] = node.op.moments(*(outputs[name] for name in node.inputs))
    return {node.name: outputs[node.inputs[0] if node.inputs else node.name].second for node in graph.nodes}
