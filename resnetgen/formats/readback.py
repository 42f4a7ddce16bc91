"""Check that a written file, read back, equals its plan; a difference is a bug, and nothing is published."""

from __future__ import annotations

from resnetgen.errors import Code, InternalError


def require_equal(name: str, differences: list[str]) -> None:
    """Raise InternalError if there are differences."""
    if differences:
        shown = "; ".join(differences[:5]) + ("; ..." if len(differences) > 5 else "")
        hint = "this is a bug of resnetgen; nothing was written. Please report it with the spec"
        raise InternalError.of(Code.BUG, f"{name}, read back, differs from its graph: {shown}", hint=hint)
