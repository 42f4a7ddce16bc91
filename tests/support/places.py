"""Folders of the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "resnetgen"
TESTS = ROOT / "tests"
DATA = TESTS / "data"
GENERATED = ROOT / "generated"
