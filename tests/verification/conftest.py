"""A small model and its spec in the working folder, and the command verify as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.cli import main
from resnetgen.weights.initialise import Init
from support.helpers import Result
from support.verified import TINY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: it holds tiny.yaml and what was built from it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    build(["tiny.yaml"], Options(init=Init.RANDOM_STATS))
    return tmp_path


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    def call(*args: str) -> Result:
        with pytest.raises(SystemExit) as exit:
            main(["verify", *args])
        out, err = capsys.readouterr()
        assert "error[bug]" not in err
        return Result(int(exit.value.code or 0), out, err)

    return call
