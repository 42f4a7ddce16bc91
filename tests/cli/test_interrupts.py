"""Ctrl-C at any moment is exit 130 without a traceback; what the system refuses to start or to load is an error."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.work import PATIENCE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no such signals and child processes here")

_WRAPPED = """
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        raise RuntimeError("Error calling __set_name__") from error
"""
_NO_FORK = """
def fork():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = fork
"""
_NO_THREAD = """
import threading
def start(_):
    raise RuntimeError("can't start new thread")
threading.Thread.start = start
"""
_AT_IMPORT = """
from importlib.abc import MetaPathFinder
class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "resnetgen.cli.build":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
_AT_END = """
class Out(io.StringIO):
    def flush(self):
        raise KeyboardInterrupt
sys.stdout = Out()
"""


def run(command: str, work: str = "pass", before: str = "") -> tuple[int, str]:
    """Run `resnetgen COMMAND net.onnx` with other work in place of its own; return the exit code and stderr."""
    code = f"""
import io, os, signal, sys
{before}
from resnetgen.build import convert; from resnetgen.verification import verify as verification
from resnetgen.cli import run

def work(*_):
    {work}

verification.verify_files = convert.convert = work
run()
"""
    words = {"verify": ["verify", "net.onnx"], "convert": ["weights", "convert", "a", "b", "--spec", "c"]}[command]
    path = os.pathsep.join(sys.path)
    found = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert "Traceback" not in found.stderr
    return found.returncode, found.stderr.lstrip("\n")  # click ends the line of ^C


@pytest.mark.parametrize("command", ["verify", pytest.param("convert", marks=pytest.mark.fault)])
@pytest.mark.parametrize(
    ("work", "before", "code", "first"),
    [
        ("raise KeyboardInterrupt", "", 130, "interrupted; "),
        (_WRAPPED, "", 130, "interrupted; "),
        ("", _AT_IMPORT, 130, ""),
        ("sys.exit(0)", _AT_END, 130, ""),
        ('raise RuntimeError("can\'t start new thread")', "", 6, "error[limit]: no thread can be started"),
        ("raise ImportError('x.so: failed to map segment')", "", 2, "error[unsupported]: a library cannot be loaded: "),
        ("import there_is_no_such_library", "", 2, "error[unsupported]: a library cannot be loaded: No module named"),
        ("from resnetgen.cli import nothing", "", 70, "error[bug]: ImportError: "),
    ],
    ids=["plain", "wrapped", "importing", "printing", "no thread", "no memory", "no library", "a module of ours"],
)
def test_interrupts_and_what_cannot_start(command: str, work: str, before: str, code: int, first: str) -> None:
    found, err = run(command, work or "pass", before)
    assert (found, err[: len(first)]) == (code, first)
    assert first or not err


def test_an_interrupt_of_a_command_without_a_child() -> None:
    """The other cases of such a command run with the faults."""
    code, err = run("convert", "raise KeyboardInterrupt")
    assert (code, err[:13]) == (130, "interrupted; ")


@pytest.mark.parametrize(
    ("before", "code", "first"),
    [(_NO_FORK, 5, "error[output]: Resource temporarily unavailable"), (_NO_THREAD, 6, "error[limit]: no thread")],
    ids=["no process", "no thread"],
)
def test_no_child_can_be_started(before: str, code: int, first: str) -> None:
    found, err = run("verify", before=before)
    assert (found, err[: len(first)]) == (code, first)


def test_a_terminal_that_stops_what_prints_in_the_background() -> None:
    """The child is in the background, for the terminal: `stty tostop` would stop it for ever."""
    assert run("verify", "print(signal.getsignal(signal.SIGTTOU), file=sys.stderr); sys.exit(3)") == (3, "1\n")
