"""The command line: the only folder that prints or exits.

Each command imports its modules when it runs, so that `--help` and usage errors answer at once.
"""

from __future__ import annotations

import gc
import os
import sys

from resnetgen.cli.interrupts import leaving_at_once

with leaving_at_once():
    # Each module adds its commands to `main`.
    from resnetgen.cli import build, bundled, deploy, diff, predict, runtimes, serve, summary, verify, weights  # noqa: F401
    from resnetgen.cli.end import end
    from resnetgen.cli.group import main
    from resnetgen.cli.output import open_streams, say_failure

_COMMANDS = {"predict", "verify"}
"""Commands that run a model, possibly one made by others, and then end."""


def runs_a_model(arguments: list[str]) -> bool:
    """Return True if a command line is of a command that passes a user's model to an engine."""
    command = next((word for word in arguments if not word.startswith("-")), "")
    return command in _COMMANDS and hasattr(os, "fork")


def run() -> None:
    """Run the program. Garbage collection is off: a short process needs most of its objects until it ends."""
    gc.disable()
    try:
        open_streams()
        if runs_a_model(sys.argv[1:]):
            from resnetgen.cli.apart import run_apart

            end(run_apart(_run))
        _run()
    except (KeyboardInterrupt, Exception) as error:  # such as: the system allows no more processes or open files
        end(say_failure(error))


def _run() -> None:
    try:
        main()
    except SystemExit as leave:
        end(leave.code)


__all__ = ["main", "run"]
