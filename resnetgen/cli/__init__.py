"""The command line: the only folder that prints or exits.

Each command imports its modules when it runs, so that `--help` and usage errors answer at once.
"""

from __future__ import annotations

import os
import sys

from resnetgen.cli.interrupts import leaving_at_once

with leaving_at_once():
    # Each module adds its commands to `main`.
    from resnetgen.cli import build, deploy, diff, predict, runtimes, serve, summary, verify, weights, zoo  # noqa: F401
    from resnetgen.cli.group import Command, main
    from resnetgen.cli.output import open_streams, print_failure
    from resnetgen.cli.startup import end, stop_collecting


def needs_child(arguments: list[str]) -> bool:
    """Return True if the command of a command line must run in a child process, and the system can fork one."""
    name = next((argument for argument in arguments if not argument.startswith("-")), "")
    command = main.commands.get(name)
    return isinstance(command, Command) and command.in_child and hasattr(os, "fork")


def run() -> None:
    """Run the program."""
    stop_collecting()
    try:
        open_streams()
        if needs_child(sys.argv[1:]):
            from resnetgen.cli.child import run_in_child

            end(run_in_child(_run))
        _run()
    except (KeyboardInterrupt, Exception) as error:  # such as: the system allows no more processes or open files
        end(print_failure(error))


def _run() -> None:
    try:
        main()
    except SystemExit as leave:
        end(leave.code)


__all__ = ["main", "run"]
