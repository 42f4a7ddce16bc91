"""Weights together with their origin, which models and manifests record."""

from __future__ import annotations

from collections.abc import Callable

from resnetgen.arguments import require_text
from resnetgen.errors import Code, UsageError, did_you_mean
from resnetgen.escape import escape
from resnetgen.ir.graph import Graph
from resnetgen.weights.draw import keys
from resnetgen.weights.source import Array, WeightSource


def _nothing() -> None:
    """Do nothing. A lambda could not be pickled, so that no weights could go to another process."""


class TracedWeights:
    def __init__(
        self,
        graph: Graph,
        source: WeightSource,
        origin: dict[str, str],
        late_origin: Callable[[], dict[str, str]] = dict,
        late_bytes: int = 0,
        warnings: tuple[str, ...] = (),
        begin: Callable[[], None] = _nothing,
    ) -> None:
        self.graph = graph
        """Graph that the weights belong to."""
        self.source = source
        self.origin = origin
        """Metadata about the origin: a seed, or the name of a checkpoint."""
        self.late_origin = late_origin
        """Function that returns the metadata known only when all weights have been read, such as a checksum."""
        self.late_bytes = late_bytes
        """Largest size in bytes of the late metadata."""
        self.warnings = warnings
        """Differences between a checkpoint and the network that no shape reveals, a sentence each."""
        self.begin = begin
        """Function that starts the work that can run while the libraries of a format are imported."""

    def __repr__(self) -> str:
        origin = ", ".join(f"{key.removeprefix('resnetgen.')}={value}" for key, value in self.origin.items())
        return f"<Weights of {escape(self.graph.name)}: {origin}>"

    def names(self) -> list[tuple[str, str]]:
        """Return the name of every tensor in the order of computation: a node, and its parameter."""
        return list(keys(self.graph))

    def require_fit(self, graph: Graph) -> None:
        """Raise UsageError if the weights are those of another network."""
        if self.graph is not graph and keys(self.graph) != keys(graph):
            message = f"the weights are those of {self.graph.name}, whose parameters differ from those of {graph.name}"
            hint = "make them for this network: Weights.random or load"
            raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)

    def tensor(self, node: str, parameter: str) -> Array:
        """Return a parameter of a node: a new C-contiguous float32 array.

        `parameter` is weight, bias, gamma, beta, mean or variance. Raises UsageError for a node or a parameter that
        does not exist.
        """
        require_text(node, "node")
        require_text(parameter, "parameter")
        try:
            return self.source.tensor(node, parameter)
        except KeyError:
            message = f"no node {node!r} has a parameter {parameter!r}"
            parameters = [name for owner, name in self.names() if owner == node]
            nodes = dict(self.names())  # the nodes that have parameters
            hint = did_you_mean(parameter, parameters) if parameters else did_you_mean(node, nodes)
            raise UsageError.of(Code.BAD_NAME, message, hint=hint) from None
