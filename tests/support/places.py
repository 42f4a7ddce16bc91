"""Folders of the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "resnetgen"
TESTS = ROOT / "tests"
DATA = TESTS / "data"
GENERATED = ROOT / "generated"


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files below a folder, by their paths from there."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
