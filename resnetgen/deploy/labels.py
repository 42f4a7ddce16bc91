"""The labels that a server is given."""

from __future__ import annotations

from pathlib import Path

from resnetgen import labels
from resnetgen.options import Compiled


def read_labels(path: Path, compiled: Compiled) -> str:
    """UTF-8, lines that end in LF. Raises Failure (exit 5) where there is not one for each class of the network."""
    return "".join(f"{line}\n" for line in labels.read_labels(path, *_classes(compiled)))


def _classes(compiled: Compiled) -> tuple[int, str]:
    """How many there are, and the place in the spec that says so."""
    (output,) = compiled.graph.outputs
    shape = compiled.graph.shapes[output.name]
    return shape[0], f"{output.span.short}, {output.name}" if output.span else output.name
