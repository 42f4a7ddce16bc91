"""Start

How soon the program answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.figure import Result, compare
from benchmarks.measure import TOOL, Bench, duration, in_turn


def figures(bench: Bench) -> Iterator[Result]:
    commands = ([TOOL, "--help"], [sys.executable, "-c", "pass"])
    rounds = in_turn([partial(duration, command) for command in commands], 5 * bench.runs)
    yield compare("`--help`", "`python -c pass`", "s", rounds, limit=5)
