"""A small network whose spec is a file in the working folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.network import Network, compile_spec
from support.checkpoints import NET


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(NET)
    return compile_spec("tiny.yaml")
