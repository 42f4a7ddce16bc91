"""What was written must be what was meant; else we have made a mistake and publish nothing."""

from __future__ import annotations

from resnetgen.errors import Code, Exit, fail


def accept(name: str, differences: list[str]) -> None:
    """Raises Failure (exit 70) where a file, read back, says something else."""
    if differences:
        shown = "; ".join(differences[:5]) + ("; ..." if len(differences) > 5 else "")
        hint = "this is a bug of resnetgen; nothing was written. Please report it with the spec"
        raise fail(Exit.BUG, Code.BUG, f"{name}, read back, differs from its graph: {shown}", hint=hint)
