"""Labels file for a server."""

from __future__ import annotations

from pathlib import Path

from resnetgen import labels
from resnetgen.network import Network


def read_labels(path: Path, network: Network) -> str:
    """Return the labels as UTF-8 text with LF after each. Raises FileError unless there is one for each class of
    the network."""
    return "".join(f"{line}\n" for line in labels.read_labels(path, *_classes(network)))


def _classes(network: Network) -> tuple[int, str]:
    """Return the number of classes, and the place in the spec that sets it."""
    output = network.graph.output
    shape = network.graph.shapes[output.name]
    return shape[0], f"{output.span.short}, {output.name}" if output.span else output.name
