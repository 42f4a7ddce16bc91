"""Start

How soon the program answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.figure import Result, compare
from benchmarks.measure import TOOL, Bench, duration, in_turn


def figures(bench: Bench) -> Iterator[Result]:
    commands = ([TOOL, "--help"], [TOOL, "list"], [sys.executable, "-c", "import resnetgen"])
    for command, name, limit in zip(commands, ("`--help`", "`list`", "`import resnetgen`"), (5, 10, 3), strict=True):
        pair = (command, [sys.executable, "-c", "pass"])
        rounds = in_turn([partial(duration, each) for each in pair], 5 * bench.runs)
        yield compare(name, "`python -c pass`", "s", rounds, limit)
