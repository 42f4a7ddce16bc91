"""`resnetgen serve` as a program, and the README's way to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from servers.process import Server, free_port, running
from servers.served import SPEC, Served, assert_answers, http, images

ROOT = Path(__file__).parents[2]
Serve = Callable[..., Server]

pytestmark = [pytest.mark.server, pytest.mark.serve]


def test_a_fixed_batch(serve: Serve, work: Path) -> None:
    served = Served(serve("two", "--batch", "2"), SPEC, work / "two/model.onnx")
    assert_answers(served, images(2))
    for batch in (1, 3):
        with pytest.raises(
            http.InferenceServerException,
            match=re.escape(f"has shape [{batch}, 3, 32, 32], the model takes [2, 3, 32, 32]"),
        ):
            served.ask(images(batch))
    assert_answers(served, images(2))


def test_it_listens_on_one_port_of_loopback(serve_server: Server) -> None:
    sockets = {os.readlink(file) for file in Path(f"/proc/{serve_server.process.pid}/fd").iterdir()}
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    assert listening == [f"0100007F:{serve_server.port:04X}"]


def test_a_port_in_use(serve_server: Server, serve_python: str, work: Path) -> None:
    command = [serve_python, "-m", "resnetgen.cli", "serve", str(work / "served"), "--port", str(serve_server.port)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr == (
        f"error[output]: cannot listen on 127.0.0.1:{serve_server.port}: Address already in use\n"
        "  hint: --port with another port, or 0 for a free one\n"
    )


def test_ctrl_c(serve: Serve) -> None:
    server = serve("ended")
    assert server.end() == 0
    assert len(server.log.splitlines()) == 2


def test_the_readmes_three_commands(
    serve_python: str, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the installation on, which .ci/servers has done; on a port of its own."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## An answer from a server.*?```\n(.*?)```", text, re.DOTALL)
    assert block
    port = str(free_port())
    steps = re.findall(r"\$ (.*)\n((?:[^$].*\n)+)", block[1].replace("8080", port))
    (deploy, written), (serve, said), (ask, answer) = steps
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    program = Path(".venv/bin/resnetgen")
    program.parent.mkdir(parents=True)
    program.symlink_to(Path(serve_python).with_name("resnetgen"))
    y, x = np.mgrid[:240, :320]
    Image.fromarray(np.stack([x % 256, y, (x + y) % 256], 2).astype(np.uint8)).save("cat.jpg")
    install = "python3.11 -m venv .venv && .venv/bin/pip install '.[serve]' && "
    assert deploy.startswith(install)
    listed = shell(deploy.removeprefix(install))
    assert [line.split()[0] for line in listed.splitlines()] == [line.split()[0] for line in written.splitlines()]
    command = ["bash", "-c", f"{serve} --port {port}"]
    with running(command, int(port), tmp_path / "serve.log", os.environ) as server:
        found, wanted = json.loads(shell(ask)), json.loads(answer)
        assert server.log == said
    assert found.keys() == wanted.keys()
    (output,), (expected,) = found["outputs"], wanted["outputs"]
    (value, *rest), (wanted_value, *wanted_rest) = (each.pop("data")[0].split(":") for each in (output, expected))
    assert (rest, output) == (wanted_rest, expected)
    assert float(value) == pytest.approx(float(wanted_value), abs=1e-3)


def shell(command: str) -> str:
    return subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True).stdout
