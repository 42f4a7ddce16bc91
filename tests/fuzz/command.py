"""The command line. Exit code 0: no fault was found; 1: at least one, each saved to the corpus."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from fnmatch import filter
from pathlib import Path

from fuzz.campaign import Tally, run
from fuzz.corpus import CORPUS, command, save
from fuzz.guard import Fault

_QUIET = 30
"""Seconds after which a long run gives a sign of life."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.guided:
        from fuzz.guided import run_guided

        return run_guided(
            options.target[0] if options.target else "", options.seconds or 60, options.seed, options.save
        )
    from fuzz.targets import TARGETS

    names = list(dict.fromkeys(name for pattern in options.target or ["*"] for name in filter(TARGETS, pattern)))
    if unknown := [pattern for pattern in options.target if not filter(TARGETS, pattern)]:
        print(f"no target is called {unknown[0]!r}; known: {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    if options.file:
        return _again(options.file, names)
    return _campaign(options, names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Damaged inputs for every parser.")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        help="a parser, run-COMMAND or a pattern; else all",
    )
    parser.add_argument("--inputs", type=int, help="how many, split evenly among the targets")
    parser.add_argument("--seconds", type=float, help="for how long; 10 where neither is given")
    parser.add_argument("--seed", type=int, default=0, help="another one, other inputs")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--save", type=Path, default=CORPUS, help="where inputs that meet a fault are kept")
    parser.add_argument("--guided", action="store_true", help="by coverage, with atheris; one target")
    parser.add_argument("file", nargs="*", type=Path, help="inputs to run again")
    return parser


def _again(files: Sequence[Path], names: Sequence[str]) -> int:
    from fuzz.guard import guarded
    from fuzz.targets import TARGETS

    found = 0
    for path in files:
        name = names[0] if len(names) == 1 else path.parent.name
        with guarded(TARGETS[name]) as guard:
            fault = guard.fault(path.read_bytes())
        found += fault is not None
        print(f"{path}: {fault.trace if fault else 'ok'}")
    return int(found > 0)


def _campaign(options: argparse.Namespace, names: Sequence[str]) -> int:
    from fuzz.targets import TARGETS

    known: set[tuple[str, str]] = set()
    start = said = time.monotonic()

    def told(tallies: dict[str, Tally]) -> None:
        nonlocal said
        for name, tally in tallies.items():
            for what, fault in tally.faults.items():
                if (name, what) not in known:
                    known.add((name, what))
                    report(fault, options.save)
        if time.monotonic() - said > _QUIET:
            said = time.monotonic()
            print(f"{total(tallies):,} inputs in {said - start:,.0f} s", file=sys.stderr, flush=True)

    seconds = options.seconds if options.seconds or options.inputs else 10.0
    tallies = run([TARGETS[name] for name in names], options.seed, options.inputs, seconds, options.processes, told)
    print(f"{'target':14}{'inputs':>10}{'taken':>8}{'per second':>12}{'slowest':>10}{'memory':>10}{'faults':>8}")
    for name, tally in tallies.items():
        rate = tally.inputs / max(tally.seconds, 1e-9)
        share = tally.taken / max(tally.inputs, 1)
        print(
            f"{name:14}{tally.inputs:>10,}{share:>8.0%}{rate:>12,.0f}{tally.slowest:>8.2f} s"
            f"{tally.memory >> 20:>6,} MiB{len(tally.faults):>8}"
        )
    print(f"{total(tallies):,} inputs in {time.monotonic() - start:,.0f} s, {len(known)} faults")
    return int(bool(known))


def total(tallies: dict[str, Tally]) -> int:
    return sum(tally.inputs for tally in tallies.values())


def report(fault: Fault, folder: Path) -> None:
    path = save(fault, folder)
    print(f"{fault.target}: {fault.what}\n{fault.trace}\n{fault.data[:200]!r}\nagain: {command(path, fault.target)}\n")
    sys.stdout.flush()
