"""Options of the tests, and the program as a fixture. Marks and steps of CI: tests/support/needs.py and steps.py."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from resnetgen.cli import main
from resnetgen.errors import Code, Failure, Problem, Span
from support.helpers import TINY, Result, Run

# Tests import ONNX Runtime themselves, too, which would report that to its makers.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

pytest_plugins = ["support.needs", "support.steps"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write the goldens anew instead of comparing")


def pytest_collection_finish() -> None:
    """Spare the collector of garbage the modules and thousands of tests that stay until the end."""
    gc.collect()
    gc.freeze()


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a background job of a shell. Child processes would ignore it, too, and tests that interrupt them would wait.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _whole_problems() -> Iterator[None]:
    """Check the problems of every failure in any test: a code of the list, a message, and texts for hint and notes."""
    make = Failure.__init__

    def checked(failure: Failure, problems: tuple[Problem, ...]) -> None:
        for problem in problems:
            assert isinstance(problem.code, Code)
            assert isinstance(problem.span, Span | None)
            assert all(isinstance(text, str) for text in (problem.message, problem.hint, *problem.notes))
            assert problem.message
        make(failure, problems)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Failure, "__init__", checked)
        yield


@pytest.fixture
def update_goldens(request: pytest.FixtureRequest) -> bool:
    """Whether the expected texts are to be written anew; whoever asks for that reads the diff."""
    return bool(request.config.getoption("--update-goldens"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program in a folder of its own, which holds tiny.yaml."""
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*args: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["resnetgen", *args])
        with pytest.raises(SystemExit) as exit:
            main(list(args))
        out, err = capsys.readouterr()
        assert all(line.isprintable() for line in (out + err).split("\n")), "it could drive a terminal"
        assert "Traceback" not in err or "--debug" in args
        return Result(int(exit.value.code or 0), out, err)

    return call
