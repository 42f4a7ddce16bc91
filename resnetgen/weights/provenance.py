"""Conventions that no shape reveals, compared between a network and the library that its weights come from or go to."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import BatchNorm, Conv, MaxPool
from resnetgen.weights.names import NameMap

_EFFECTS = {
    "bottleneck_stride": "takes the stride of a bottleneck on its {0}, not on its {1}: all shapes agree, "
    "but the outputs of each strided block differ",
    "pool_pad": "pads the stem's pooling by {0}, not {1}: all sizes agree, but its windows are one pixel apart",
    "eps": "has eps {0} in its norms, not {1}: channels of small variance are scaled differently",
    "color": "sees images as {0}, not {1}: red and blue are exchanged",
}


class Convention(Struct, frozen=True):
    value: str
    node: Node | None = None
    """First node of the network that shows the convention."""


TRAINED = "checkpoints of {0} were trained with {1}"
LOADED = "networks that load weights by the names of {0} have {1}"


def warnings(graph: Graph, color: str | None, names: NameMap, library: str, ending: str = TRAINED) -> list[str]:
    """Return a warning for each convention of a library in which a network differs, with the effect.

    `ending` is TRAINED for weights that come from the library, LOADED for weights that go to it.
    """
    lines = []
    for key, convention in conventions(graph, color).items():
        trained = names.conventions.get(key)
        if trained is None or trained == convention.value:
            continue
        place = f" ({convention.node.span.short})" if convention.node and convention.node.span else ""
        effect = _EFFECTS[key].format(convention.value, trained)
        lines.append(f"{graph.name}{place} {effect}; {ending.format(library, trained)}")
    return lines


def conventions(graph: Graph, color: str | None = None) -> dict[str, Convention]:
    """Return the conventions that a network shows, by name."""
    shown = dict(_of_nodes(graph))
    return shown | {"color": Convention(color)} if color else shown


def _of_nodes(graph: Graph) -> Iterator[tuple[str, Convention]]:
    for node in reversed(graph.nodes):  # reversed, so that the first node overrides the later ones
        match node.op:
            case Conv(stride=stride) if stride != (1, 1) and (unit := _unit_of_bottleneck(graph, node)):
                yield "bottleneck_stride", Convention(unit, node)
            case MaxPool(pad=pad):
                yield "pool_pad", Convention(str(pad[0]), node)
            case BatchNorm(eps):
                yield "eps", Convention(f"{eps:g}", node)
            case _:
                pass


def _unit_of_bottleneck(graph: Graph, node: Node) -> str:
    """Return conv1, conv2 or conv3 if the node is that unit of a main branch of three, else an empty text."""
    path = node.path
    is_main = path.branch[-1:] == ("main",)
    return path.unit if is_main and str(path.node("conv3")) in graph else ""
