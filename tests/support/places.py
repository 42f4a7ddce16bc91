"""Folders of the repository."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "resnetgen"
TESTS = ROOT / "tests"
DATA = TESTS / "data"
GENERATED = ROOT / "generated"


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files below a folder, by their paths from there."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@cache
def syntax(source: str) -> tuple[ast.AST, ...]:
    """Return all nodes of a Python module, itself first. Several tests look at each: change none."""
    return (*ast.walk(ast.parse(source)),)
