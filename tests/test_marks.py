"""Marks: none can be missing, since a test cannot import what it bears no mark for, and nothing else skips a test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support import needs
from support.places import syntax

pytest_plugins = ["pytester"]

TESTS = Path(__file__).parent
CV2 = '__version__ = "4"\n'


def skips_by_import(path: Path) -> list[str]:
    nodes = syntax(path.read_text(encoding="utf-8"))
    calls = [node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "importorskip"]
    return [f"{path.name}:{call.lineno}" for call in calls]


def test_nothing_is_imported_or_skipped() -> None:
    """A mark of tests/support/needs.py says the same, and CI selects tests by it."""
    assert [place for path in sorted(TESTS.rglob("*.py")) for place in skips_by_import(path)] == []


def test_an_import_or_skip_is_found(tmp_path: Path) -> None:
    """Negative control of the test above."""
    path = tmp_path / "test_one.py"
    path.write_text("import pytest\n\n\ndef test() -> None:\n    pytest.importorskip('cv2')\n")
    assert skips_by_import(path) == ["test_one.py:5"]


def run(pytester: pytest.Pytester, code: str) -> pytest.RunResult:
    pytester.makeini("[pytest]\nmarkers =\n    opencv: here\n")
    pytester.makepyfile(f"import pytest\n\n{code}")
    return pytester.runpytest_subprocess(
        "-p", "no:hypothesispytest", "-p", "no:cacheprovider", "-p", "support.needs", "-rs"
    )


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> Path:
    """A folder whose modules the tests of `run` can import."""
    folder = pytester.mkdir("modules")
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{TESTS}")
    return folder


USE = """
{mark}
def test_use():
    import cv2
    assert cv2.__version__ == "4"
"""
FIXTURE = """
@pytest.fixture
def engine():
    import cv2
    return cv2

{mark}
def test_use(engine):
    assert engine.__version__ == "4"
"""


@pytest.mark.parametrize("code", [USE, FIXTURE], ids=["test", "fixture"])
def test_a_module_is_there_for_tests_with_its_mark_only(
    code: str, environment: Path, pytester: pytest.Pytester
) -> None:
    (environment / "cv2.py").write_text(CV2)
    run(pytester, code.format(mark="@pytest.mark.opencv")).assert_outcomes(passed=1)
    result = run(pytester, code.format(mark=""))
    assert result.parseoutcomes().keys() <= {"failed", "error", "errors"}
    result.stdout.fnmatch_lines(["*ModuleNotFoundError*cv2*"])


def test_a_module_is_hidden_from_a_test_after_another_used_it(environment: Path, pytester: pytest.Pytester) -> None:
    (environment / "cv2.py").write_text(CV2)
    code = USE.format(mark="@pytest.mark.opencv") + USE.format(mark="").replace("test_use", "test_without")
    again = USE.format(mark="@pytest.mark.opencv").replace("test_use", "test_again")
    run(pytester, code + again).assert_outcomes(passed=2, failed=1)


def test_a_missing_module_skips_the_tests_with_its_mark(
    environment: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (environment / "sitecustomize.py").write_text("import sys\nsys.modules['cv2'] = None\n")
    result = run(pytester, USE.format(mark="@pytest.mark.opencv"))
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*needs cv2"])


def test_every_need_is_a_mark(pytestconfig: pytest.Config) -> None:
    marks = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    assert needs.NEEDS.keys() <= marks
