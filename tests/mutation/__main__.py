"""Mutation testing of folders of resnetgen, by a sample: see docs/mutation.md."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mutants import Mutant, Mutants, list_files
from rooms import ROOMS

from tests import Baseline, import_libraries, measure, try_tests


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests/mutation/run", description=__doc__)
    parser.add_argument("rooms", nargs="+", choices=ROOMS, metavar="ROOM", help=", ".join(ROOMS))
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--share", type=float, default=0.056, help="of all mutants; 1: all of them")
    parser.add_argument("--budget", type=float, default=8, help="seconds of tests for each mutant, at most")
    parser.add_argument(
        "--results", type=Path, required=True, help="a folder; mutants killed there already are not run"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="whole test files in place of what reaches"
    )
    given = parser.parse_args()
    root = Path.cwd()
    os.environ |= {"PYTHONPATH": str(root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OPENBLAS_NUM_THREADS": "1"}
    import_libraries()
    given.results.mkdir(parents=True, exist_ok=True)
    for room in given.rooms:
        _Room(root, room, given).run()


class _Room:
    def __init__(self, root: Path, room: str, given: argparse.Namespace) -> None:
        self.root, self.room, self.given = root, room, given
        self.path = given.results / f"{room}.json"
        self.done: dict[str, dict[str, Any]] = json.loads(self.path.read_text()) if self.path.exists() else {}

    def run(self) -> None:
        files = {file: Mutants(self.root, file) for file in list_files(self.root, [self.room])}
        sample = [
            (one, mutant)
            for one in files.values()
            for mutant in one.found
            if mutant.is_sampled(self.given.seed, self.given.share)
        ]
        every = sum(len(one.found) for one in files.values())
        left = [pair for pair in sample if self.done.get(pair[1].key, {}).get("status") not in ("killed", "timeout")]
        print(f"{self.room}: {len(sample)} of {every} mutants, {len(left)} to run", flush=True)
        baseline = Baseline()
        if left and self.given.only:
            self._require_success(self._only(), 300)
        elif left:
            baseline = self._measure()
        for number, (one, mutant) in enumerate(left):
            began = time.monotonic()
            self._try(one, mutant, baseline)
            seconds = time.monotonic() - began
            status = self.done[mutant.key]["status"]
            if status != "killed" or number % 20 == 0 or seconds > 6:
                print(f"  {number}/{len(left)} {status} {seconds:.1f} s {mutant.file}:{mutant.lines[0]}", flush=True)
            self.path.write_text(json.dumps(self.done, indent=1))
        self._report([mutant for _, mutant in sample], every)

    def _measure(self) -> Baseline:
        tests = _files(ROOMS[self.room].split())
        began = time.monotonic()
        found = measure(self.root, tests, self.given.results / "baseline")
        print(f"  {len(found.seconds)} tests, {time.monotonic() - began:.0f} s", flush=True)
        self._require_success(sorted(found.seconds, key=lambda test: found.seconds[test])[:100], 60)
        for test in found.failed:
            print(f"  left out, since it fails without a mutant: {test}", flush=True)
        return found

    def _only(self) -> list[str]:
        return _files(self.given.only)

    def _require_success(self, tests: list[str], seconds: float) -> None:
        outcome = try_tests(tests, seconds)
        if outcome.status != "survived":
            raise SystemExit(f"{self.room}: without any mutant {outcome}")

    def _try(self, one: Mutants, mutant: Mutant, baseline: Baseline) -> None:
        chosen = baseline.choose(mutant.file, () if mutant.is_imported else mutant.lines, self.given.budget)
        seconds = sum(baseline.seconds[test] for test in chosen)
        if self.given.only:
            chosen, seconds = self._only(), 60
        with _replaced(self.root / mutant.file, one.source(mutant)):
            outcome = try_tests(chosen, seconds)
        self.done[mutant.key] = {
            "status": outcome.status,
            "test": outcome.test,
            "tests": len(chosen),
            "file": mutant.file,
            "line": mutant.lines[0],
            "place": mutant.place,
            "operator": mutant.operator,
            "before": mutant.before,
            "after": mutant.after,
        }

    def _report(self, sample: list[Mutant], every: int) -> None:
        counts = Counter(self.done[mutant.key]["status"] for mutant in sample)
        killed = counts["killed"] + counts["timeout"]
        share = f"{killed / len(sample):.1%}" if sample else "-"
        print(f"{self.room}: {killed} of {len(sample)} killed ({share}), of {every}; {dict(counts)}", flush=True)


def _files(names: Iterable[str]) -> list[str]:
    """Return the test files of these names, wherever they are below tests/."""
    return [str(path) for name in names for path in sorted(Path("tests").rglob(f"test_{name}.py"))]


@contextmanager
def _replaced(path: Path, text: str) -> Iterator[None]:
    """Put another text into a file for a while, and its compiled form, which Python knows by size and second, away."""
    whole, times = path.read_bytes(), path.stat()
    compiled = {cached: cached.read_bytes() for cached in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc")}
    for cached in compiled:
        cached.unlink()
    try:
        path.write_text(text, encoding="utf-8")
        yield
    finally:
        path.write_bytes(whole)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        for cached, code in compiled.items():
            cached.write_bytes(code)


if __name__ == "__main__":
    main()
