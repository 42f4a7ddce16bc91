"""A network: its spec, and the graph that the spec expands to."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from resnetgen.errors import Exit, Failure, Problem
from resnetgen.expand import expand
from resnetgen.expand.builder import MAX_NODES
from resnetgen.ir.graph import Graph
from resnetgen.spec.find import find_spec, short_path
from resnetgen.spec.load import given, load, load_block
from resnetgen.spec.load import input_size as parse_input_size
from resnetgen.spec.table import Spec
from resnetgen.weights.names import NameMap, load_name_map


class Network(Struct, frozen=True):
    spec: Spec
    graph: Graph
    digest: str
    """SHA-256 of every file of the spec, of its parameters and of its input size."""

    @property
    def names(self) -> NameMap | None:
        return load_name_map(self.spec.names.text, self.spec.names.span) if self.spec.names else None


def compile_spec(
    spec: str,
    params: dict[str, int | float] | None = None,
    max_nodes: int = MAX_NODES,
    input_size: str | None = None,
) -> Network:
    """Return the network of a spec, which is a path or a bundled name.

    `input_size`, such as 3x320x320, replaces the input size of the spec. Raises Failure.
    """
    path = find_spec(spec)
    loaded = load(path, params, shown=spec if spec.endswith(path.suffix) else short_path(path))
    if input_size:
        loaded = loaded.at(parse_input_size(given("--input", input_size)))
    return _network(loaded, max_nodes)


def compile_block(row: str, input_size: str) -> Network:
    """Compile a row on its own: `compile_block("[3x3, 256; 3x3, 256]", "256x56x56")`. Raises Failure."""
    return _network(load_block(row, input_size), MAX_NODES)


def compile_all(
    specs: Sequence[str], params: dict[str, int | float], max_nodes: int, input_size: str | None
) -> list[Network]:
    """Compile every spec. Raises Failure with every problem of every spec."""
    networks: list[Network] = []
    problems: list[Problem] = []
    worst = Exit.DONE
    for spec in specs:
        try:
            networks.append(compile_spec(spec, params, max_nodes, input_size))
        except Failure as failure:
            problems += failure.problems
            worst = max(worst, failure.exit)
    if problems:
        raise Failure(worst, tuple(dict.fromkeys(problems)))
    return networks


def _network(spec: Spec, max_nodes: int) -> Network:
    graph = expand(spec, max_nodes)
    parts = [*(source.text for source in spec.sources), repr(sorted(spec.params.items())), str(spec.input)]
    return Network(spec, graph, sha256("\0".join(parts).encode()).hexdigest())
