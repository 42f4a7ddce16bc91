"""SECURITY.md against the code: its figures are the code's, and the tests that it names are there."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
LIMITS = re.findall(r"^\| .+ \| ([0-9,]+) \| `([\w/]+)\.(\w+)` \|$", TEXT, re.MULTILINE)
LIMITS += re.findall(r"([0-9,]+) bytes of weights ahead of the writer \(`([\w/]+)\.(\w+)`\)", TEXT)


def is_true(figure: str, module: str, name: str) -> bool:
    found = getattr(import_module(f"resnetgen.{module.replace('/', '.')}"), name)
    return f"{found:,}" == figure


@pytest.mark.parametrize(("figure", "module", "name"), LIMITS, ids=[f"{m}.{n}" for _, m, n in LIMITS])
def test_a_figure_is_that_of_the_code(figure: str, module: str, name: str) -> None:
    assert is_true(figure, module, name)


def test_no_row_is_left_out() -> None:
    table = TEXT.split("## Limits")[1].split("## Tests")[0]
    assert len(LIMITS) == len([line for line in table.splitlines() if line.startswith("| ")])
    assert not is_true("1,048,577", "spec/yaml", "MAX_BYTES"), "the control"


def test_the_tests_that_it_names_are_there() -> None:
    named = set(re.findall(r"tests/[\w/]+(?:\.py)?", TEXT))
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]
    markers = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f'"{marker}: ' in markers for marker in re.findall(r"pytest -m (\w+)", TEXT))
