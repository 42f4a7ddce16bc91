"""Steps of CI: each fails when tests are missing or skipped, and .ci/run has them all."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import needs

pytest_plugins = ["pytester"]

PLUGINS = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider", "-p", "support.steps")
CI = Path(__file__).parents[1] / ".ci"
TESTS = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_passes(number):
    pass

def test_skips():
    pytest.skip("needs a server")
"""


def run(pytester: pytest.Pytester, passes: int, may_skip: list[str], *options: str) -> pytest.RunResult:
    folder = pytester.path / ".ci"
    folder.mkdir(exist_ok=True)
    (folder / "steps.json").write_text(json.dumps({"servers": {"passes": passes, "may_skip": may_skip}}))
    pytester.makeini("[pytest]")
    return pytester.runpytest_inprocess(*PLUGINS, "--step", "servers", *options)


def figures(pytester: pytest.Pytester) -> object:
    return json.loads((pytester.path / ".ci/steps.json").read_text())


@pytest.mark.parametrize("passes", [0, 2, 3])
def test_enough_tests_pass(pytester: pytest.Pytester, passes: int) -> None:
    """The figure is a minimum: whoever adds a test need not change it."""
    pytester.makepyfile(TESTS)
    assert run(pytester, passes, ["needs a server"]).ret == 0


def test_too_few_tests_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    result = run(pytester, 4, ["needs a server"])
    assert result.ret == 1
    result.stdout.fnmatch_lines(["step servers: 3 tests passed, and at least 4 must"])


def test_a_test_is_skipped_that_must_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    result = run(pytester, 3, ["needs cv2"])
    assert result.ret == 1
    result.stdout.fnmatch_lines(["step servers: 1 skipped, which this step must run: needs a server"])


@pytest.mark.parametrize(
    "code",
    [
        "import pytest\npytest.skip('needs Linux', allow_module_level=True)\n",
        "import pytest\npytestmark = pytest.mark.skipif(True, reason='needs Linux')\ndef test(): pass\n",
        "import pytest\n@pytest.fixture\ndef f(): pytest.skip('needs Linux')\ndef test(f): pass\n",
    ],
    ids=["module", "mark", "fixture"],
)
def test_every_way_to_skip_is_seen(pytester: pytest.Pytester, code: str) -> None:
    pytester.makepyfile(test_a=TESTS, test_b=code)
    assert run(pytester, 3, ["needs a server", "needs Linux"]).ret == 0
    result = run(pytester, 3, ["needs a server"])
    assert result.ret == 1
    result.stdout.fnmatch_lines(["step servers: 1 skipped, which this step must run: needs Linux"])


def test_a_failure_stays_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS + "\ndef test_fails():\n    assert False\n")
    assert run(pytester, 0, ["needs a server"]).ret == 1


def test_deselected_tests_do_not_count(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    assert run(pytester, 3, ["needs a server"], "-k", "passes and not 2").ret == 1


def test_a_run_writes_its_figures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    assert run(pytester, 9, [], "--update-step").ret == 0
    assert figures(pytester) == {"servers": {"passes": 3, "may_skip": ["needs a server"]}}
    assert pytester.runpytest_inprocess(*PLUGINS, "--step", "servers").ret == 0


def test_a_run_that_fails_writes_none(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS + "\ndef test_fails():\n    assert False\n")
    assert run(pytester, 9, [], "--update-step").ret == 1
    assert figures(pytester) == {"servers": {"passes": 9, "may_skip": []}}


def test_a_step_that_is_not_in_the_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    result = run(pytester, 3, [], "--step", "server")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--step server: * has only servers"])


# The project's own


def after(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def marks(words: list[str]) -> tuple[set[str], set[str]]:
    """Return the marks that an expression after -m asks for, and those that it leaves out."""
    tree = ast.parse(after(words, "-m"), mode="eval") if "-m" in words else ast.parse("")
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    refused = [node.operand for node in ast.walk(tree) if isinstance(node, ast.UnaryOp)]
    left_out = {node.id for node in refused if isinstance(node, ast.Name)}
    return names - left_out, left_out


def commands() -> Iterator[list[str]]:
    for name in ("run", "servers"):
        text = (CI / name).read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            if "--step" in line:
                yield shlex.split(line)


def test_every_step_of_the_file_is_run_and_every_run_is_in_the_file() -> None:
    run = [after(words, "--step") for words in commands()]
    assert sorted(run) == sorted(json.loads((CI / "steps.json").read_text(encoding="utf-8")))


def test_every_mark_has_a_step_that_may_not_skip_it(pytestconfig: pytest.Config) -> None:
    """A GPU alone is nothing that a machine of CI has."""
    steps = json.loads((CI / "steps.json").read_text(encoding="utf-8"))
    left_out = marks(pytestconfig.getini("addopts"))[1]
    missing = (needs.NEEDS.keys() | left_out) - {"gpu", "server"}
    for words in commands():
        if asked := marks(words)[0]:
            missing -= asked
            name = after(words, "--step")
            assert not [reason for reason in steps[name]["may_skip"] if reason.startswith("needs ")], name
    assert missing == set()
