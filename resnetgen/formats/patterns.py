"""Patterns: what is several layers or nodes in a file and one op in the IR.

A pattern is declared as the expression that the file computes. The matcher walks from the last layer up through the
inputs, and binds the names of the expression:

    MISH = Pattern(Call("Mul", X, Call("Tanh", Call("Softplus", X)), unordered=True), lambda match: ops.Mish())
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

from resnetgen.ir.ops import Op, Shape

Output: TypeAlias = Hashable
"""Output of a layer, by whatever the net calls it: a tensor's name, or the layer's position and the output's index."""


_MAX_INPUTS = 100
"""Limit of inputs that a pattern with `rest` matches: the matcher is recursive."""


class FileGraph(Protocol):
    """Layers or nodes of a file, by their position in topological order."""

    def type(self, at: int) -> str: ...

    def inputs(self, at: int) -> Sequence[Output | None]:
        """Return the inputs of a layer; None for one that is left out."""

    def value(self, at: int, name: str) -> Any:
        """Return an attribute of a layer, with its default filled in; None if it has no value."""

    def producer(self, output: Output) -> tuple[int, int] | None:
        """Return the position of the layer that has an output, and the output's index; None for an input of the net or
        a constant."""

    def is_constant(self, output: Output) -> bool:
        """Return True if the file has the values of an output."""

    def shape(self, output: Output) -> Shape:
        """Return the shape of an output without the batch axis; of a constant the whole shape."""


class Leaf(Struct, frozen=True):
    """Any output that is no constant; the same one wherever its name is repeated."""

    name: str


class Constant(Struct, frozen=True):
    """Values that are part of what the op is."""

    name: str


class Weight(Struct, frozen=True):
    """Values that are a parameter of the op."""

    name: str


class Call:
    """A layer of a type, with patterns of its inputs."""

    def __init__(
        self,
        type: str,
        *inputs: Call | Leaf | Constant | Weight,
        name: str = "",
        where: Mapping[str, Any] | None = None,
        unordered: bool = False,
        rest: bool = False,
        output: int | None = 0,
    ) -> None:
        self.type = type
        self.inputs = inputs
        self.name = name or type
        """Name of the layer in a match."""
        self.where = where or {}
        """Required values of attributes."""
        self.unordered = unordered
        """True if the inputs may be in any order."""
        self.rest = rest
        """True if the last pattern matches every further input."""
        self.output = output
        """Index of the output that is read; None for any."""

    @property
    def size(self) -> int:
        """Number of layers."""
        return 1 + sum(one.size for one in self.inputs if isinstance(one, Call))

    def leaves(self, kind: type[Leaf | Constant | Weight]) -> Iterator[str]:
        """Yield the names of the leaves of a kind, in the order of the declaration."""
        for one in self.inputs:
            if isinstance(one, Call):
                yield from one.leaves(kind)
            elif isinstance(one, kind):
                yield one.name


class Match(Struct, frozen=True):
    """Layers and outputs that a pattern's names are bound to."""

    net: FileGraph
    leaves: Mapping[str, Any]
    """Name of a leaf, a constant or a weight -> output."""
    parts: Mapping[str, int]
    """Name of a layer -> its position."""

    def shape(self, leaf: str) -> Shape:
        return self.net.shape(self.leaves[leaf])

    def value(self, part: str, name: str) -> Any:
        return self.net.value(self.parts[part], name)


class Pattern(Struct, frozen=True):
    root: Call
    """The last layer, with those before it as its inputs."""
    build: Callable[[Match], Op | None]
    """Function that returns the op; None for shapes or values that make it another one."""


def match(net: FileGraph, pattern: Pattern, at: int) -> Match | None:
    """Match a pattern whose last layer is the one at a position."""
    return next(_call(pattern.root, at, Match(net, {}, {})), None)


def _call(call: Call, at: int, found: Match) -> Iterator[Match]:
    net = found.net
    if net.type(at) != call.type or any(net.value(at, name) != value for name, value in call.where.items()):
        return
    outputs, inputs = net.inputs(at), call.inputs
    if call.rest and len(outputs) > _MAX_INPUTS:
        return
    if call.rest:
        inputs += inputs[-1:] * (len(outputs) - len(inputs))
    if len(inputs) == len(outputs):
        found = Match(net, found.leaves, {**found.parts, call.name: at})
        for order in permutations(outputs) if call.unordered else (outputs,):
            yield from _inputs(inputs, order, found)


def _inputs(
    inputs: Sequence[Call | Leaf | Constant | Weight], outputs: Sequence[Output | None], found: Match
) -> Iterator[Match]:
    if not inputs:
        yield found
        return
    for one in _input(inputs[0], outputs[0], found):
        yield from _inputs(inputs[1:], outputs[1:], one)


def _input(pattern: Call | Leaf | Constant | Weight, output: Output | None, found: Match) -> Iterator[Match]:
    if output is None:
        return
    if isinstance(pattern, Call):
        made = found.net.producer(output)
        if made and pattern.output in (None, made[1]):
            yield from _call(pattern, made[0], found)
    elif pattern.name in found.leaves:
        if found.leaves[pattern.name] == output:
            yield found
    elif isinstance(pattern, Leaf) is not found.net.is_constant(output):
        yield Match(found.net, {**found.leaves, pattern.name: output}, found.parts)
