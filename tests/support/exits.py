"""Errors by their exit code, for commands that ran in another process."""

from __future__ import annotations

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import SEVERITY, Code, Failure


def failure_of(exit: Exit, code: Code, message: str) -> Failure:
    """Return an error with this exit code."""
    errors = (kind.of(code, message) for kind in SEVERITY)
    return next(error for error in errors if exit_code(error) == exit)
