"""The real core of Triton, from the package nvidia-pytriton, which needs an environment of its own (.ci/servers).

RESNETGEN_TRITON_PYTHON names that environment's Python. The package has Triton's Python backend alone, so a repository
is served with that word in config.pbtxt changed, and with `triton_model.py` beside each model.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from servers.process import Server, free_port, running

BACKEND = Path(__file__).with_name("triton_model.py")
_ASK = """
import json, sys, sysconfig
print(json.dumps([sysconfig.get_path("purelib"), "%d.%d" % sys.version_info[:2], sysconfig.get_config_var("LIBDIR")]))
"""
NO_GPU = re.compile(
    "CUDA driver version is insufficient|no CUDA-capable device|CudaDriverHelper has not been initialized"
    "|failed to allocate pinned system memory"
)
"""What Triton's log says of a machine without a GPU, whatever it serves."""


@dataclass(frozen=True)
class Triton:
    python: Path

    @cached_property
    def _places(self) -> tuple[Path, str, Path]:
        """Of its packages; its version; of its libpython."""
        packages, version, libraries = json.loads(subprocess.check_output([self.python, "-c", _ASK], text=True))
        return Path(packages), version, Path(libraries)

    @property
    def _env(self) -> dict[str, str]:
        packages, _, libraries = self._places
        return os.environ | {
            "LD_LIBRARY_PATH": f"{packages / 'nvidia_pytriton.libs'}:{libraries}",
            "PYTHONPATH": str(packages),
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
        }

    @property
    def _stub(self) -> Path:
        """The program that runs a model.py, for this Python."""
        packages, version, _ = self._places
        return packages / "pytriton/tritonserver/python_backend_stubs" / version / "triton_python_backend_stub"

    @property
    def lacks(self) -> str:
        """A library that no package brings, such as libpython; empty where it can run."""
        said = subprocess.run([self._stub], env=self._env, capture_output=True, text=True).stderr
        return said if "loading shared libraries" in said else ""

    @contextmanager
    def serving(self, repository: Path, work: Path, wait: bool = True) -> Iterator[Server]:
        """The server's files stand in `work`."""
        packages, _, _ = self._places
        port = free_port()
        command = [
            str(packages / "pytriton/tritonserver/bin/tritonserver"),
            f"--model-repository={repository}",
            f"--backend-directory={self._backends(work)}",
            f"--http-port={port}",
            "--http-address=127.0.0.1",
            "--allow-grpc=false",
            "--allow-metrics=false",
            "--exit-on-error=false",
            "--exit-timeout-secs=1",  # it waits for clients to close what they keep open
        ]
        with running(command, port, work / "triton.log", self._env, wait) as server:
            yield server

    def _backends(self, work: Path) -> Path:
        """The Python backend with the stub of this Python beside it."""
        packages, _, _ = self._places
        folder = work / "backends/python"
        folder.mkdir(parents=True)
        for file in (*(packages / "pytriton/tritonserver/backends/python").glob("*triton_python*"), self._stub):
            (folder / file.name).symlink_to(file)
        return folder.parent


def adapt(repository: Path) -> None:
    """A repository that deploy wrote, for a Triton without an ONNX Runtime backend."""
    for config in repository.glob("*/config.pbtxt"):
        text = config.read_text(encoding="utf-8")
        changed = re.sub('^backend: "onnxruntime"$', 'backend: "python"', text, flags=re.MULTILINE)
        changed = changed.replace('platform: "onnxruntime_onnx"\n', "")
        assert changed != text
        config.write_text(changed, encoding="utf-8")
    for model in repository.glob("*/*/model.onnx"):
        shutil.copy(BACKEND, model.with_name("model.py"))


def warnings(log: str) -> list[str]:
    """The lines of its log that are warnings or errors, and are not about the machine."""
    return [
        line for line in log.splitlines() if re.match(r"[WEF]\d{4} |(?i:error|warn)", line) and not NO_GPU.search(line)
    ]
