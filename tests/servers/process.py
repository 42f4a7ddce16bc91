"""A server in a process of its own: started, waited for, its log kept, ended."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STARTS = 60
"""Seconds."""
ENDS = 20


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    port: int
    log_file: Path

    @property
    def address(self) -> str:
        """As tritonclient takes it."""
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    @property
    def is_ready(self) -> bool:
        try:
            return urllib.request.urlopen(f"http://{self.address}/v2/health/ready", timeout=5).status == 200
        except (urllib.error.HTTPError, OSError):
            return False

    def end(self) -> int:
        """By Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(ENDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"it did not end:\n{self.log}") from None


@contextmanager
def running(
    command: Sequence[str], port: int, log_file: Path, env: Mapping[str, str], wait: bool = True
) -> Iterator[Server]:
    """`wait`: until it says that it is ready, which a server whose models fail never does."""
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=dict(env))
    server = Server(process, port, log_file)
    try:
        until = time.monotonic() + STARTS
        while not (server.is_ready if wait else _listens(port)):
            assert process.poll() is None, f"it ended with {process.returncode}:\n{server.log}"
            assert time.monotonic() < until, f"it is not ready:\n{server.log}"
            time.sleep(0.1)
        yield server
        assert process.poll() in (None, 0), f"it ended with {process.returncode}:\n{server.log}"
    finally:
        if process.poll() is None:
            server.end()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
