"""The examples of docs/python.md are run, and print what the page says."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from resnetgen.formats import registry

PAGE = Path(__file__).parents[2] / "docs/python.md"


@pytest.fixture(autouse=True)
def formats_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page registers a format, which no other test should see."""
    monkeypatch.setattr(registry, "_FORMATS", dict(registry._FORMATS))


def run(text: str) -> doctest.TestResults:
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    return doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)


def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(PAGE.read_text())
    assert result.attempted > 30
    assert result.failed == 0


def test_an_example_with_another_output_is_noticed() -> None:
    """Negative control."""
    assert run(">>> 1 + 1\n3\n").failed == 1
