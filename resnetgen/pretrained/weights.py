"""Weights of a network: drawn at random, or loaded from a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Self

from resnetgen import ranges
from resnetgen.arguments import (
    choose,
    named_arguments,
    require_flag,
    require_instance,
    require_int,
    require_list,
    require_path,
)
from resnetgen.escape import escape
from resnetgen.network import Network
from resnetgen.weights.initialise import Init, Initialised
from resnetgen.weights.traced import TracedWeights

_LATE_BYTES = 128
"""Largest size in bytes of a checkpoint's checksum in a model: a name of 24 characters, a checksum of 64."""


class Weights(TracedWeights):
    """Weights of one network. They are drawn or read when asked for, so that they are never all in memory."""

    @classmethod
    @named_arguments
    def random(cls, network: Network, seed: int = 0, init: str = "he") -> Self:
        """Return drawn weights; the same ones for the same seed.

        `init`: he draws as He et al. 2015 did; random-stats randomises the statistics of norms as well, so that a
        wrong fold shows. Raises UsageError for a seed or an `init` that does not exist.
        """
        require_instance(network, Network, "network")
        seed, chosen = _seed(seed), choose(Init, init, "--init")
        return cls(network.graph, Initialised(network.graph, seed, chosen), _drawn(seed, chosen))

    @classmethod
    @named_arguments
    def load(
        cls,
        path: str | PathLike[str],
        network: Network,
        reinit: Sequence[str] = (),
        allow_nonfinite: bool = False,
        seed: int = 0,
        init: str = "he",
    ) -> Self:
        """Return the weights of a checkpoint: a caffemodel, safetensors, PyTorch, ONNX or npz file, known by content.

        `reinit`: stages whose weights are drawn instead. `allow_nonfinite`: accept NaN and infinity. Raises
        ModelError for a file that is damaged or of another network, UsageError for an unknown stage.
        """
        from resnetgen.pretrained.pretrained import CheckpointSource, load_pretrained

        require_instance(network, Network, "network")
        seed, chosen = _seed(seed), choose(Init, init, "--init")
        file, stages = require_path(path, "path"), tuple(require_list(reinit, "reinit"))
        drawn = Initialised(network.graph, seed, chosen)
        source = CheckpointSource(file, stages, require_flag(allow_nonfinite, "allow_nonfinite"))
        read = load_pretrained(source, network.spec, network.graph, drawn)
        origin = {
            "resnetgen.weights": escape(Path(file).name),  # which may not be UTF-8
            "resnetgen.weights_names": read.naming.shown,
        }
        if stages:
            origin |= _drawn(seed, chosen) | {"resnetgen.reinit": ",".join(stages)}
        return cls(
            network.graph,
            read.weights,
            origin,
            late_origin=read.late_origin,
            late_bytes=_LATE_BYTES,
            warnings=read.warnings,
            begin=read.hash_ahead,
        )


def _seed(seed: int) -> int:
    """Return a seed. Raises UsageError for a value that is none."""
    number = require_int(seed, "seed")
    ranges.SEED.require(number, "--seed")
    return number


def _drawn(seed: int, init: Init) -> dict[str, str]:
    return {"resnetgen.init": init.value, "resnetgen.seed": str(seed)}
