"""The process that the shim is loaded into: imports resnetgen once, then runs each command in a fork of itself.

Reads a request a line and answers with a line, both JSON.
"""

from __future__ import annotations

import ctypes
import gc
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from resnetgen.cli import main

SHIM = ctypes.CDLL(None)
SHIM.fault_arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int)
SHIM.fault_calls.restype = ctypes.c_long
SHIM.fault_struck.restype = ctypes.c_char_p


def run(arguments: list[str]) -> tuple[int, str]:
    """The exit code, and what was said on stderr."""
    said = io.StringIO()
    sys.argv = ["resnetgen", *arguments]
    with redirect_stdout(io.StringIO()), redirect_stderr(said):
        try:
            main(arguments)
        except SystemExit as exit:
            return int(exit.code or 0), said.getvalue()


def child(request: dict[str, Any], answer: int) -> None:
    if request["in_place"]:
        from careless import write_in_place  # this program's folder is tests/faults

        write_in_place()
    SHIM.fault_arm(request["root"].encode(), request["at"], request["error"])
    code, said = run(request["arguments"])
    done = {"code": code, "said": said, "calls": SHIM.fault_calls(), "struck": (SHIM.fault_struck() or b"").decode()}
    os.write(answer, json.dumps(done).encode())


def serve() -> None:
    gc.disable()  # as the program does; and it would copy, in each fork, the memory that it looks through
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("warm"):
            print(json.dumps(dict(zip(("code", "said"), run(request["arguments"]), strict=True))), flush=True)
            continue
        receive, answer = os.pipe()
        if (process := os.fork()) == 0:
            try:
                child(request, answer)
            finally:
                os._exit(99)  # not read where the child has answered
        os.close(answer)
        with os.fdopen(receive, "rb") as file:
            told = file.read()
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        killed = {"code": code, "said": "", "calls": 0, "struck": "kill" if code < 0 else ""}
        print(told.decode() or json.dumps(killed), flush=True)


if __name__ == "__main__":
    serve()
