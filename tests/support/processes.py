"""The program in processes of its own that start warm: each is forked from one that has imported what they need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from support.helpers import Result

SERVER = """\
import importlib, json, os, sys
folder, *modules = sys.argv[1:]
for module in modules:
    importlib.import_module(module)
from resnetgen.cli import run
for line in sys.stdin:
    where, arguments = json.loads(line)
    if not (child := os.fork()):
        os.chdir(where)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["resnetgen", *arguments]
        run()
        os._exit(os.EX_SOFTWARE)  # not reached: `run` ends the process
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Program:
    """A call runs the program in the working folder. Its code is negative if a signal ended the process."""

    def __init__(self, server: subprocess.Popen[str], folder: Path) -> None:
        self._server = server
        self._folder = folder

    def __call__(self, *arguments: str) -> Result:
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(f"{json.dumps([str(Path.cwd()), arguments])}\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        out, err = ((self._folder / name).read_text(encoding="utf-8") for name in ("out", "err"))
        return Result(code, out, err)


@contextmanager
def warm_program(*modules: str, warnings: str = "default") -> Iterator[Program]:
    """Start the process that the others are forked from, with these modules imported and this filter of warnings."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-W", warnings, "-c", SERVER, folder, *modules]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server:
            yield Program(server, Path(folder))
            assert server.stdin
            server.stdin.close()
