"""Words of the documentation that promise something about the code, held to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.profiles import find_profile
from resnetgen.weights.normal import _STEPS, _quantiles
from support.helpers import Run

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


@pytest.mark.parametrize("name", ["README.md", "docs/weights.md", "docs/benchmarks.md"])
def test_it_is_said_that_drawn_weights_are_steps_of_a_normal_distribution(name: str) -> None:
    assert f"one of {_STEPS:,} values" in page(name)


def test_the_help_says_how_weights_are_drawn(run: Run) -> None:
    said = " ".join(run("build", "--help").out.split())
    assert f"in {_STEPS:,} steps, up to {_quantiles()[-1]:.1f} deviations" in said
    assert f"lie at {_quantiles()[-1]:.1f} deviations" in page("docs/weights.md")


def test_it_is_said_that_the_reference_shares_no_translation(run: Run) -> None:
    """tests/test_floors.py holds that the interpreter imports no format."""
    assert "The reference shares no code with a format or a runtime" in page("docs/verify.md")
    said = " ".join(run("verify", "--help").out.split())
    assert "by the formulas of its ops" in said


def test_the_page_of_runtimes_says_where_a_wheel_differs_from_the_table() -> None:
    assert "1.15's loads IR version 9, where the table says 8" in page("docs/runtimes.md")
    assert find_profile("ort-1.15").ir == 8
