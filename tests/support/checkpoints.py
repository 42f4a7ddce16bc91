"""Checkpoints of a small network: its weights by the paths of its nodes, written to a file and loaded again."""

from __future__ import annotations

from pathlib import Path

from resnetgen.ir.graph import Graph
from resnetgen.network import Network
from resnetgen.pretrained.pretrained import CheckpointSource, load_pretrained
from resnetgen.weights.assign import AssignedWeights
from resnetgen.weights.checkpoint import Head, write_checkpoint
from resnetgen.weights.draw import keys
from resnetgen.weights.initialise import Initialised
from resnetgen.weights.source import WeightSource
from resnetgen.wire.dtypes import Values

NET = """
use: std
name: tiny
input: 3x16x16
params: {classes: 4}
stages:
  conv1: 3x3, 4, bias
  conv2_x: "[1x1, 2; 3x3, 2; 1x1, 8] x2 /2"
  head: gap | groupnorm 2 | channelconv | fc $classes
"""


def tensors(graph: Graph, weights: WeightSource) -> dict[str, Values]:
    """All weights by the paths of their nodes."""
    return {f"{node}.{parameter}": weights.tensor(node, parameter) for node, parameter in keys(graph)}


def write(path: Path, values: dict[str, Values], format: str = "safetensors") -> Path:
    heads = {name: Head(one.dtype.name, one.shape) for name, one in values.items()}
    write_checkpoint(path, format, heads, values.items())
    return path


def load(path: Path, network: Network, **options: object) -> AssignedWeights:
    fresh = Initialised(network.graph, 7)
    return load_pretrained(CheckpointSource(path, **options), network.spec, network.graph, fresh).weights  # type: ignore[arg-type]


def same(found: WeightSource, wanted: WeightSource, graph: Graph) -> bool:
    return all(found.tensor(*key).tobytes() == wanted.tensor(*key).tobytes() for key in keys(graph))
