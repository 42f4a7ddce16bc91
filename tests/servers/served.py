"""A deployed network on a server, what tritonclient gets from it, and what ONNX Runtime itself says."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from servers.process import Server

try:
    from tritonclient import http
except (ImportError, RuntimeError):  # the package alone brings no client
    http = None

SPEC = "resnet20_cifar"
CLASSES, LARGEST = 10, 8
LABELS = [f"label {number}" for number in range(CLASSES)]
Array = npt.NDArray[Any]


def program(*args: object) -> str:
    """What resnetgen prints."""
    command = [sys.executable, "-m", "resnetgen.cli", *map(str, args)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def deploy(*options: object) -> None:
    program("deploy", SPEC, "--init", "random-stats", *options)


def images(count: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((count, 3, 32, 32), np.float32) * 60


@dataclass(frozen=True)
class Served:
    """A model on a server, and the file that it was made of."""

    server: Server
    model: str
    file: Path

    @property
    def is_ours(self) -> bool:
        """On `resnetgen serve`."""
        return self.server.log_file.stem != "triton"

    @cached_property
    def client(self) -> Any:
        return self.connect()

    def connect(self) -> Any:
        """A client is one thread's."""
        return http.InferenceServerClient(self.server.address, connection_timeout=60, network_timeout=60)

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(self.file)

    def expected(self, data: Array) -> Array:
        """By ONNX Runtime itself."""
        return np.asarray(self.session.run(None, {self.session.get_inputs()[0].name: data})[0])

    def ask(self, data: Array, name: str = "input", classes: int = 0, client: Any = None, **where: str) -> Array:
        """As JSON, which both servers know."""
        kind = {"float32": "FP32", "uint8": "UINT8"}[str(data.dtype)]
        asked = http.InferInput(name, list(data.shape), kind)
        asked.set_data_from_numpy(data, binary_data=False)
        wanted = http.InferRequestedOutput("output", binary_data=False, class_count=classes)
        found = (client or self.client).infer(self.model, [asked], outputs=[wanted], **where)
        return np.asarray(found.as_numpy("output"))

    def post(self, body: str) -> dict[str, Any]:
        """What curl would send."""
        url = f"http://{self.server.address}/v2/models/{self.model}/infer"
        request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
        return dict(json.load(urllib.request.urlopen(request, timeout=60)))


def assert_answers(served: Served, data: Array, **where: str) -> None:
    np.testing.assert_allclose(served.ask(data, **where), served.expected(data), rtol=1e-5, atol=1e-7)
