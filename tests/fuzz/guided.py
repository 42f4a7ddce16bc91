"""The same targets, guided by coverage: atheris (libFuzzer) keeps what reaches new code and damages it further.

Needs the extra `fuzz`. Half of the inputs are damaged by libFuzzer itself, half as the target says.
"""

from __future__ import annotations

import atexit
import os
import random
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_LIBFUZZER = 256 << 20
"""Bytes that libFuzzer takes for itself."""


def run_guided(name: str, seconds: float, seed: int, save: Path) -> int:
    """Ends the process: its exit code is 0 where no fault was found."""
    import atheris

    with atheris.instrument_imports(include=["resnetgen"]):
        from fuzz.command import report
        from fuzz.guard import guarded
        from fuzz.shrink import shrunk
        from fuzz.targets import TARGETS

        if name not in TARGETS:
            print(f"--guided takes one --target of {', '.join(TARGETS)}", file=sys.stderr)
            return 2
        target = replace(TARGETS[name], memory=TARGETS[name].memory + _LIBFUZZER)
        with TemporaryDirectory() as work:
            for data in target.seeds:  # imports what parsers import when they need it
                target.attempt(data, Path(work))
    found: dict[str, Any] = {}
    with guarded(target) as guard, TemporaryDirectory() as corpus:
        for index, data in enumerate(target.seeds):
            (Path(corpus) / str(index)).write_bytes(data)

        def one(data: bytes) -> None:
            fault = guard.fault(data)
            if fault and fault.what not in found:
                found[fault.what] = fault
                report(shrunk(fault, guard), save)

        def mutate(data: bytes, most: int, chance: int) -> bytes:
            if not chance & 1:
                with suppress(Exception):  # what libFuzzer damaged may be no archive any more, say
                    return target.mutate(data, random.Random(chance), target.seeds)[:most]
            return bytes(atheris.Mutate(data, most))

        limits = [f"-max_total_time={seconds:.0f}", f"-seed={seed + 1}", "-timeout=60", "-rss_limit_mb=4096"]
        arguments = [sys.argv[0], *limits, "-max_len=65536", "-print_final_stats=1", corpus]
        atheris.Setup(arguments, one, custom_mutator=mutate)
        atexit.register(lambda: os._exit(int(bool(found))))  # libFuzzer ends the process, and else waits for ever
        atheris.Fuzz()
    return 0
