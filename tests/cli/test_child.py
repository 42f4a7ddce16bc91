"""Commands that run a user's model do it in a child process: its crash is an error, and the child ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from resnetgen.cli import needs_child
from support.work import wait_until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no child processes of this kind here")


def program(work: str) -> subprocess.Popen[str]:
    """`resnetgen verify net.onnx`, with other work in place of running a model."""
    code = f"""
import os, signal, sys, time
from resnetgen.verification import verify as verification
from resnetgen.cli import run

def run_for_ever():
    while True:
        time.sleep(0.05)  # Python answers a signal between two calls, not one that comes just before a long one

def verify(*_):
    {work}

verification.verify_files = verify
run()
"""
    path = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, "-c", code, "verify", "net.onnx"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.mark.parametrize(
    ("name", "code", "first"),
    [
        ("SIGSEGV", 4, "error[bad-model]: the engine that ran the model crashed (SIGSEGV)"),
        ("SIGABRT", 4, "error[bad-model]: the engine that ran the model crashed (SIGABRT)"),
        ("SIGFPE", 4, "error[bad-model]: the engine that ran the model crashed (SIGFPE)"),
        ("SIGKILL", 6, "error[limit]: the process that ran the model was killed (SIGKILL), as the system does when"),
    ],
)
def test_a_crash_is_an_error(name: str, code: int, first: str) -> None:
    started = program(f"os.kill(os.getpid(), signal.{name})")
    out, err = started.communicate()
    assert (started.returncode, out) == (code, "")
    assert err.startswith(first)
    assert "\n  hint: " in err


def test_the_exit_code_is_that_of_the_work() -> None:
    started = program("raise MemoryError")
    _, err = started.communicate()
    assert (started.returncode, err.count("error[limit]")) == (6, 1)


@pytest.mark.parametrize(
    ("name", "code"), [("SIGINT", 130), ("SIGTERM", -signal.SIGTERM), ("SIGKILL", -signal.SIGKILL)]
)
def test_what_ends_the_program_ends_its_child(name: str, code: int) -> None:
    """The child holds the other end of stdout: as long as it lives, reading does not end."""
    started = program("print(os.getpid(), flush=True); run_for_ever()")
    assert started.stdout is not None
    child = int(started.stdout.readline())
    assert child != started.pid
    started.send_signal(signal.Signals[name])
    out, err = started.communicate()
    assert (started.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert not Path(f"/proc/{child}").exists() or name == "SIGKILL"


def test_ctrl_z_stops_both() -> None:
    started = program("print(os.getpid(), flush=True); sys.stdin.readline(); print('done')")
    assert started.stdout is not None
    child = int(started.stdout.readline())
    started.send_signal(signal.SIGTSTP)
    _, status = os.waitpid(started.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    wait_until(lambda: state(child) == "T")  # the signal takes a moment to arrive
    started.send_signal(signal.SIGCONT)
    out, _ = started.communicate("\n")
    assert out == "done\n"


def state(process: int) -> str:
    """R: it runs, S: it waits, T: it is stopped."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]


@pytest.mark.parametrize(
    ("arguments", "apart"),
    [
        (["verify", "net.onnx"], True),
        (["--debug", "predict", "served", "a.png"], True),
        (["build", "verify"], False),
        (["--help"], False),
        ([], False),
    ],
)
def test_which_commands_run_apart(arguments: list[str], apart: bool) -> None:
    assert needs_child(arguments) is apart
