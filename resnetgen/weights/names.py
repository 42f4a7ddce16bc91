"""Name maps: data that turns a place in the IR, `conv3_x/0/main/conv2`, into the name by a convention
(`res3a_branch2b`).

A map in library/names/ is a list of rules: a pattern of paths, and a name template (see name_patterns.py) or several
separated by spaces for a node that becomes several layers. The first rule that matches is used. `variants` apply to
networks that have a node matching a pattern; they precede the other rules, and a map's own rules precede those of the
map that it extends. `parameters` has the suffix that a weight's name adds to its layer's, gamma: .weight. `conventions`
are the settings with which the library's checkpoints were trained.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field
from msgspec.structs import replace

from resnetgen.errors import Code, Problem, Span, SpecError, did_you_mean
from resnetgen.ir.graph import Graph, Node
from resnetgen.paths import NAME_MAPS
from resnetgen.spec.yaml import Mapping, Scalar, Sequence, Value, parse, read_source
from resnetgen.weights.name_patterns import NameTemplate, PathPattern, parse_pattern, parse_templates
from resnetgen.weights.source import Key

Rules = tuple[tuple[PathPattern, tuple[NameTemplate, ...]], ...]


class NameMap(Struct, frozen=True):
    rules: Rules = ()
    variants: tuple[tuple[PathPattern, Rules], ...] = ()
    """Rules that apply if some node of the network matches the pattern."""
    top_first: tuple[PathPattern, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)
    """Parameter in the IR -> suffix of its name by the convention."""
    conventions: dict[str, str] = field(default_factory=dict)
    """Settings with which the checkpoints were trained and which no shape reveals: see provenance.py."""

    def of(self, graph: Graph) -> NameMap:
        """Return the map of a network: the rules of the variants that apply, then all others."""
        variants = (rules for where, rules in self.variants if any(_fits(where, node) for node in graph.nodes))
        return replace(self, rules=(*(rule for rules in variants for rule in rules), *self.rules), variants=())

    def names(self, node: Node) -> tuple[str, ...] | None:
        """Return the names of a node's layers; None if no rule matches."""
        for pattern, templates in self.rules:
            captures = pattern.match(node.name)
            if captures is not None:
                return tuple(template.fill(captures, node) for template in templates)
        return None

    def prints_top_first(self, node: Node) -> bool:
        return any(_fits(pattern, node) for pattern in self.top_first)


def load_name_map(name: str, span: Span | None = None) -> NameMap:
    """Load a name map of the library by its name. Raises SpecError if there is none."""
    path = NAME_MAPS / f"{name}.yaml"
    known = [path.stem for path in NAME_MAPS.glob("*.yaml")]
    if name not in known:
        raise SpecError.of(Code.NAME_MAP, f"no name map is called {name!r}", span, did_you_mean(name, known))
    document = parse(read_source(path))
    extends = document.get("extends")
    return make_name_map(document, load_name_map(extends.text) if isinstance(extends, Scalar) else NameMap())


def make_name_map(document: Mapping, parent: NameMap) -> NameMap:
    """Return the name map of a document, with the rules of the map that it extends. Raises SpecError."""
    top_first = document.get("top_first")
    first = top_first.items if isinstance(top_first, Sequence) else ()
    variants = tuple((parse_pattern(where), _rules(rules)) for where, rules in _entries(document.get("variants")))
    return NameMap(
        _rules(document.get("layers")) + parent.rules,
        variants + parent.variants,
        tuple(parse_pattern(item) for item in first if isinstance(item, Scalar)) + parent.top_first,
        parent.parameters | {key.text: value.text for key, value in _texts(document.get("parameters"))},
        parent.conventions | {key.text: value.text for key, value in _texts(document.get("conventions"))},
    )


def layer_names(graph: Graph, names: NameMap | None, counts: dict[str, int]) -> dict[str, tuple[str, ...]]:
    """Return for each node the names of its layers, `counts[node]` of them.

    Without a map a node's path is the name of its first layer. Raises SpecError if the map has no name for a
    node, or one name for two: a map must be one to one.
    """
    layers_of: dict[str, tuple[str, ...]] = {}
    owner: dict[str, Node] = {}
    problems = []
    names = names.of(graph) if names else None
    for node in graph.nodes:
        mapped = names.names(node) if names else None
        if names and mapped is None:
            problems.append(Problem(Code.NAME_MAP, f"the name map has no name for {node.name}", node.span, _HINT))
            continue
        layers = _extended(mapped or (node.name,), counts[node.name])
        for name in layers:
            if name in owner:
                message = f"the name map calls both {owner[name].name} and {node.name} {name}"
                problems.append(Problem(Code.NAME_MAP, message, node.span, _HINT))
            owner[name] = node
        layers_of[node.name] = layers
    if problems:
        raise SpecError(tuple(problems))
    return layers_of


def weight_names(graph: Graph, names: NameMap) -> dict[str, Key]:
    """Return, in the graph's order, the name of every weight by the map's convention -> its node and parameter.

    Nodes without weights need no name. Raises SpecError if a weight has no name, or two have the same.
    """
    parameters_of: dict[str, Key] = {}
    problems = []
    names = names.of(graph)
    for node in graph.nodes:
        mapped = names.names(node)
        for parameter in graph.parameters(node):
            suffix = names.parameters.get(parameter.name)
            if mapped is None or suffix is None:
                message = f"the name map has no name for the {parameter.name} of {node.name}"
                problems.append(Problem(Code.NAME_MAP, message, node.span))
            elif (name := mapped[0] + suffix) in parameters_of:
                other, same = parameters_of[name]
                message = f"the name map calls both {other}'s {same} and {node.name}'s {parameter.name} {name}"
                problems.append(Problem(Code.NAME_MAP, message, node.span))
            else:
                parameters_of[name] = (node.name, parameter.name)
    if problems:
        raise SpecError(tuple(problems))
    return parameters_of


_HINT = "`names: null` in the spec uses the paths themselves"


def _extended(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return as many names as a node has layers: the last name gets numbers if the map gives too few."""
    more = (f"{names[-1]}/{number}" for number in range(2, count - len(names) + 2))
    return (*names[:count], *more)


def _fits(pattern: PathPattern, node: Node) -> bool:
    return pattern.match(node.name) is not None


def _rules(value: Value | None) -> Rules:
    return tuple((parse_pattern(key), parse_templates(names)) for key, names in _texts(value))


def _texts(value: Value | None) -> Iterator[tuple[Scalar, Scalar]]:
    return ((key, entry) for key, entry in _entries(value) if isinstance(entry, Scalar))


def _entries(value: Value | None) -> Iterator[tuple[Scalar, Value]]:
    return iter(value) if isinstance(value, Mapping) else iter(())
