"""The command line: the only folder that prints or exits. Each command imports what it needs when it runs, so that
`--help` and usage errors answer at once."""

from __future__ import annotations

import gc

# Each adds its commands to `main`.
from resnetgen.cli import build, bundled, deploy, diff, predict, runtimes, serve, summary, verify, weights  # noqa: F401
from resnetgen.cli.group import main


def run() -> None:
    """The program. A short process needs what it makes until it ends: looking for garbage, above all on the way out,
    would be a tenth of a build's time."""
    gc.disable()
    try:
        main()
    finally:
        gc.freeze()


__all__ = ["main", "run"]
