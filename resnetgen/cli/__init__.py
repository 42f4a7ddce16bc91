"""The command line: the only folder that prints or exits.

Each command imports its modules when it runs, so that `--help` and usage errors answer at once.
"""

from __future__ import annotations

import gc
import sys

# Each module adds its commands to `main`.
from resnetgen.cli import build, bundled, deploy, diff, predict, runtimes, serve, summary, verify, weights  # noqa: F401
from resnetgen.cli.apart import run_apart, runs_a_model
from resnetgen.cli.end import end
from resnetgen.cli.group import main
from resnetgen.cli.output import open_streams


def run() -> None:
    """Run the program. Garbage collection is off: a short process needs most of its objects until it ends."""
    gc.disable()
    open_streams()
    if runs_a_model(sys.argv[1:]):
        end(run_apart(_run))
    _run()


def _run() -> None:
    try:
        main()
    except SystemExit as leave:
        end(leave.code)


__all__ = ["main", "run"]
