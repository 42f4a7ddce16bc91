"""Text dump of a graph, one node per line, stable enough for golden files."""

from __future__ import annotations

from collections.abc import Iterator

from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Op, attributes, show


def dump(graph: Graph) -> str:
    """Return a header and one line per node, `name = op(attributes)  inputs  : shape  # place`, ending in a newline.

    The header names the outputs if there are several.
    """
    width = max(len(node.name) for node in graph.nodes)
    lines = [f"# {graph.name}: {graph.parameter_count:,} parameters, {graph.mac_count:,} MACs"]
    if len(graph.outputs) > 1:
        lines.append(f"# outputs: {', '.join(graph.outputs)}")
    for node in graph.nodes:
        left = f"{node.name:<{width}} = {describe(node.op)}"
        right = f": {show(graph.shapes[node.name])}"
        lines.append(
            "  ".join(filter(None, (left, ", ".join(node.inputs), right, f"# {node.span.short}" if node.span else "")))
        )
    return "\n".join(lines) + "\n"


def describe(op: Op) -> str:
    """Return an op with the attributes that differ from their defaults: `conv(kernel=3x3, out_channels=64,
    stride=2x2)`."""
    attributes = ", ".join(_attributes(op))
    return f"{op.keyword}({attributes})" if attributes else op.keyword


def _attributes(op: Op) -> Iterator[str]:
    for field in attributes(type(op)):
        value = getattr(op, field.name)
        if value == field.default:
            continue
        if isinstance(value, bool):
            yield field.name if value else f"{field.name}=no"
        elif isinstance(value, tuple):
            yield f"{field.name}={show(value)}"
        else:
            yield f"{field.name}={value}"
