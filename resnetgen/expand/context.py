"""Surroundings of a cell: its place, the values of its $names and its stride."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from resnetgen.errors import Code, Span, SpecError
from resnetgen.ir.path import NodePath
from resnetgen.spec.expressions import Scope

_MAX_DEPTH = 32


class Context(Struct, frozen=True):
    """Surroundings of a cell: its place, the values of its $names and its stride."""

    place: NodePath
    """Place in which the cell's nodes are."""
    names: Scope
    """Values of $names. A block has its own, for its whole input; it does not see those of its caller."""
    stride: int = 1
    """Stride that the cell still has to apply for its block; 1 once it is applied."""
    site: Span | None = None
    """Place where the enclosing block was called: the row of the table, which is the place of its nodes. None outside
    blocks."""
    depth: int = 0

    def at(self, span: Span) -> Span:
        return self.site or span

    def deeper(self, span: Span) -> Context:
        """Return the context one level further in. Raises SpecError below 32 levels: a block that calls itself
        is an error."""
        if self.depth >= _MAX_DEPTH:
            message = f"blocks and brackets are nested deeper than {_MAX_DEPTH} levels"
            raise SpecError.of(Code.RECURSION, message, self.at(span), "does a block call itself?")
        return replace(self, depth=self.depth + 1)
