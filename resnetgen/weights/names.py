"""Name maps: data that turns a place in the IR, `conv3_x/0/main/conv2`, into the names of a world (`res3a_branch2b`).

A map is a list of patterns in library/names/. In a path `{b}` stands for a number, `{s:3,4}` for one of those; in a
name `{b}` repeats it, `{b:letter}` counts it a, b, c from 0 (`letter1` from 1), `{b:numbered}` a, b1, b2. What the path
does not hold is an attribute of the op: `fc{units}`. Words divided by a space are the names of a node that becomes
several layers. The first pattern that fits counts; a map's own come before those it extends. For a world whose weights
have names of their own, `parameters` says what follows a layer's name: gamma: .weight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from string import Formatter
from typing import Any

from resnetgen.errors import Code, Exit, Failure, Problem, Span, did_you_mean, spec_error
from resnetgen.ir.graph import Graph, Node
from resnetgen.resources import NAME_MAPS
from resnetgen.spec.yaml import Mapping, Scalar, Sequence, parse, read_source
from resnetgen.weights.source import Key

Piece = tuple[str, str | None, str]
"""Literal text, then the capture that follows it, if any, and what stands behind its colon."""


@dataclass(frozen=True)
class NameMap:
    rules: tuple[tuple[tuple[Piece, ...], tuple[str, ...]], ...]
    top_first: tuple[tuple[Piece, ...], ...]
    parameters: dict[str, str] = field(default_factory=dict)
    """A parameter's name in the IR -> what the world's name of it has behind the layer's."""

    def names(self, node: Node) -> tuple[str, ...] | None:
        """The names of a node's layers; None where no pattern fits."""
        for pattern, templates in self.rules:
            captures = _match(pattern, node.name)
            if captures is not None:
                return tuple(_fill(template, captures, node) for template in templates)
        return None

    def prints_top_first(self, node: Node) -> bool:
        return any(_match(pattern, node.name) is not None for pattern in self.top_first)


def load_name_map(name: str, span: Span | None = None) -> NameMap:
    """The name map of the library that is called so. Raises Failure."""
    path = NAME_MAPS / f"{name}.yaml"
    known = [path.stem for path in NAME_MAPS.glob("*.yaml")]
    if name not in known:
        raise spec_error(Code.NAME_MAP, f"no name map is called {name!r}", span, did_you_mean(name, known))
    document = parse(read_source(path))
    layers, extends, top_first, spelt = (document.get(key) for key in ("layers", "extends", "top_first", "parameters"))
    assert isinstance(layers, Mapping)
    parent = load_name_map(extends.text) if isinstance(extends, Scalar) else NameMap((), ())
    own = tuple((_pieces(key.text), tuple(value.text.split())) for key, value in layers if isinstance(value, Scalar))
    first = (
        tuple(_pieces(item.text) for item in top_first.items if isinstance(item, Scalar))
        if isinstance(top_first, Sequence)
        else ()
    )
    endings = (
        {key.text: value.text for key, value in spelt if isinstance(value, Scalar)}
        if isinstance(spelt, Mapping)
        else {}
    )
    return NameMap(own + parent.rules, first + parent.top_first, parent.parameters | endings)


def layer_names(graph: Graph, names: NameMap | None, counts: dict[str, int]) -> dict[str, tuple[str, ...]]:
    """For each node the names of its layers, of which there are `counts[node]`.

    Without a map a node's own path names its first layer. Raises Failure where the map has no name for a node, or one
    name for two: a map must be one to one.
    """
    found: dict[str, tuple[str, ...]] = {}
    owner: dict[str, Node] = {}
    problems = []
    for node in graph.nodes:
        given = names.names(node) if names else None
        if names and given is None:
            problems.append(Problem(Code.NAME_MAP, f"the name map has no name for {node.name}", node.span, _HINT))
            continue
        layers = _extended(given or (node.name,), counts[node.name])
        for name in layers:
            if name in owner:
                message = f"the name map calls both {owner[name].name} and {node.name} {name}"
                problems.append(Problem(Code.NAME_MAP, message, node.span, _HINT))
            owner[name] = node
        found[node.name] = layers
    if problems:
        raise Failure(Exit.SPEC, tuple(problems))
    return found


def weight_names(graph: Graph, names: NameMap) -> dict[str, Key]:
    """The name of every weight in the map's world -> its node and parameter, in the graph's order; one to one.

    Nodes without weights need no name. Raises Failure where a weight has none, or two have the same.
    """
    found: dict[str, Key] = {}
    problems = []
    for node in graph.nodes:
        given = names.names(node)
        for parameter in graph.parameters(node):
            ending = names.parameters.get(parameter.name)
            if given is None or ending is None:
                message = f"the name map has no name for the {parameter.name} of {node.name}"
                problems.append(Problem(Code.NAME_MAP, message, node.span))
            elif (name := given[0] + ending) in found:
                other, same = found[name]
                message = f"the name map calls both {other}'s {same} and {node.name}'s {parameter.name} {name}"
                problems.append(Problem(Code.NAME_MAP, message, node.span))
            else:
                found[name] = (node.name, parameter.name)
    if problems:
        raise Failure(Exit.SPEC, tuple(problems))
    return found


_HINT = "`names: null` in the spec uses the paths themselves"


def _extended(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """As many names as a node has layers: the last one gets numbers where the map gives too few."""
    more = (f"{names[-1]}/{number}" for number in range(2, count - len(names) + 2))
    return (*names[:count], *more)


def _pieces(pattern: str) -> tuple[Piece, ...]:
    return tuple((text, name, spec or "") for text, name, spec, _ in Formatter().parse(pattern))


def _match(pattern: tuple[Piece, ...], path: str) -> dict[str, int] | None:
    captures: dict[str, int] = {}
    at = 0
    for text, name, allowed in pattern:
        if not path.startswith(text, at):
            return None
        at += len(text)
        if name is None:
            continue
        end = at
        while end < len(path) and path[end].isdigit():
            end += 1
        digits = path[at:end]
        if not digits or (allowed and digits not in allowed.split(",")):
            return None
        captures[name] = int(digits)
        at = end
    return captures if at == len(path) else None


def _fill(template: str, captures: dict[str, int], node: Node) -> str:
    words = []
    for text, name, style in _pieces(template):
        words.append(text)
        if name is not None:
            value: Any = captures[name] if name in captures else getattr(node.op, name)
            words.append(_styled(value, style))
    return "".join(words)


def _styled(value: Any, style: str) -> str:
    match style:
        case "letter":
            return _letter(value)
        case "letter1":
            return _letter(value - 1)
        case "numbered":
            return f"b{value}" if value else "a"
        case _:
            return str(value)


def _letter(index: int) -> str:
    """a ... z, then aa, ab ...: names stay one to one however many blocks there are."""
    letter = chr(ord("a") + index % 26)
    return _letter(index // 26 - 1) + letter if index >= 26 else letter
