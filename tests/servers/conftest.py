"""The servers, each started once. `resnetgen serve` runs on this Python, and Triton on that of RESNETGEN_TRITON_PYTHON;
.ci/servers makes environments for both."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from servers import triton
from servers.process import Server, free_port, running
from servers.served import LABELS, LARGEST, SPEC, Served, deploy
from support import needs

Serve = Callable[..., Server]


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("servers")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    return folder


@pytest.fixture(scope="session")
def core() -> triton.Triton:
    found = triton.Triton(Path(str(needs.triton_python())))
    if found.lacks:
        pytest.skip(f"Triton cannot run here: {found.lacks}")
    return found


@pytest.fixture(scope="session")
def repository(core: triton.Triton, work: Path) -> Path:
    """Models as users deploy them, and three versions of one to choose from."""
    made = work / "repository"
    batching = ("--server", "triton", "-o", made, "--labels", work / "labels.txt", "--max-batch", LARGEST)
    deploy(*batching, "--preferred-batch", "4")
    deploy(*batching, "--name", "bytes", "--embed-preprocess")
    deploy("--server", "triton", "-o", made, "--name", "plain")
    for name, latest in (("newest", "1"), ("both", "2")):
        for seed in ("0", "1", "2"):
            deploy(*batching, "--name", name, "--latest", latest, "--seed", seed)
    triton.adapt(made)
    return made


@pytest.fixture(scope="session")
def triton_server(core: triton.Triton, repository: Path, work: Path) -> Iterator[Server]:
    with core.serving(repository, work) as server:
        yield server


@pytest.fixture(scope="session")
def serve_python() -> str:
    return sys.executable


@pytest.fixture(scope="session")
def serve(serve_python: str, work: Path) -> Iterator[Serve]:
    """`resnetgen serve`, of a folder that is deployed with these options."""
    with ExitStack() as stack:

        def start(name: str, *options: str) -> Server:
            folder, port = work / name, free_port()
            deploy("--server", "onnxruntime", "-o", folder, "--labels", work / "labels.txt", *options)
            command = [serve_python, "-m", "resnetgen.cli", "serve", str(folder), "--port", str(port)]
            return stack.enter_context(running(command, port, work / f"{name}.log", os.environ))

        yield start


@pytest.fixture(scope="session")
def serve_server(serve: Serve) -> Server:
    return serve("served")


@pytest.fixture(
    params=[pytest.param("triton", marks=pytest.mark.triton), pytest.param("serve", marks=pytest.mark.serve)]
)
def served(request: pytest.FixtureRequest, work: Path) -> Iterator[Served]:
    """The same network on both."""
    server = request.getfixturevalue(f"{request.param}_server")
    file = work / ("served/model.onnx" if request.param == "serve" else f"repository/{SPEC}/1/model.onnx")
    served = Served(server, SPEC, file)
    with served.client:
        yield served


@pytest.fixture(scope="session")
def picture(work: Path) -> Path:
    pixels = np.random.default_rng(7).integers(0, 256, (50, 40, 3), np.uint8)
    Image.fromarray(pixels).save(work / "cat.png")
    return work / "cat.png"
