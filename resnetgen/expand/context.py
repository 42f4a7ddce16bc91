"""What a cell may know of its surroundings."""

from __future__ import annotations

from dataclasses import replace

from resnetgen.errors import Code, Span, spec_error
from resnetgen.frozen import Frozen
from resnetgen.spec.expressions import Scope

_MAX_DEPTH = 32


class Context(Frozen):
    """What a cell may know of its surroundings."""

    prefix: str
    """The path below which its nodes are named."""
    names: Scope
    """The values of $names. In a block they are its own, of its whole input: a block does not see its caller's."""
    stride: int = 1
    """What the cell has to take of its block's stride; 1 once it is taken."""
    site: Span | None = None
    """Inside a block: where it was called. That is the place of its nodes, the table's own row."""
    depth: int = 0

    def at(self, span: Span) -> Span:
        return self.site or span

    def deeper(self, span: Span) -> Context:
        """The context of what stands inside; bounded, so that a block that calls itself is an error."""
        if self.depth >= _MAX_DEPTH:
            message = f"blocks and brackets stand in one another deeper than {_MAX_DEPTH} levels"
            raise spec_error(Code.RECURSION, message, self.at(span), "does a block call itself?")
        return replace(self, depth=self.depth + 1)
