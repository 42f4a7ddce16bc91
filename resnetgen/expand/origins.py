"""Notes for a shape error: which node each of the mismatched shapes came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resnetgen.ir.graph import Node
from resnetgen.ir.ops import ChannelPad, Conv, Fc, Input, Op, OpError, Shape, show

_CHANNELS, _SIZE = slice(0, 1), slice(1, None)
"""Positions of the channels and of the size in a shape."""


def origins(op: Op, inputs: Sequence[str], nodes: Sequence[Node], shapes: Mapping[str, Shape]) -> tuple[str, ...]:
    """Return a note for each input: its shape, and the node that set the channels or the size in which the inputs
    differ."""
    by_name = {node.name: node for node in nodes}
    apart = _apart(op, [shapes[name] for name in inputs])
    notes = []
    for name in inputs:
        node = by_name[name]
        origins_of = [(aspect, _origin(node, aspect, by_name, shapes)) for aspect in apart]
        texts = [f", {_origin_text(aspect, origin)}" for aspect, origin in origins_of if origin is not node]
        source = "the input" if isinstance(node.op, Input) else node.name
        notes.append(f"{show(shapes[name])} comes from {source}{''.join(texts) or _place(node)}")
    return tuple(notes)


def _apart(op: Op, shapes: Sequence[Shape]) -> list[slice]:
    """Return the aspects (channels, size or both) in which the inputs differ and which the op does not accept."""
    if len(shapes) < 2:
        return []
    first = shapes[0]
    one_channels = [(*first[_CHANNELS], *shape[_SIZE]) for shape in shapes]
    one_size = [(*shape[_CHANNELS], *first[_SIZE]) for shape in shapes]
    return [aspect for aspect, rest in ((_CHANNELS, one_size), (_SIZE, one_channels)) if not _fits(op, rest)]


def _fits(op: Op, shapes: Sequence[Shape]) -> bool:
    try:
        op.shape(*shapes)
    except OpError:
        return False
    return True


def _origin(node: Node, aspect: slice, by_name: Mapping[str, Node], shapes: Mapping[str, Shape]) -> Node:
    """Return the node that set a tensor's channels or size: the nearest one before it that changed or defined them."""
    extents = shapes[node.name][aspect]
    while not (aspect == _CHANNELS and isinstance(node.op, Conv | Fc | ChannelPad)):
        same = [source for source in node.inputs if shapes[source][aspect] == extents]
        if not same:
            break
        node = by_name[same[0]]
    return node


def _origin_text(aspect: slice, origin: Node) -> str:
    noun, verb = ("channels", "come") if aspect == _CHANNELS else ("size", "comes")
    if isinstance(origin.op, Input):
        return f"whose {noun} {verb} from the input"
    return f"whose {noun} {verb} from {origin.name}{_place(origin)}"


def _place(node: Node) -> str:
    return f" ({node.span})" if node.span else ""
