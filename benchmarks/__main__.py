"""The command. Prints Markdown as the figures come; exit 1 where one is beyond its limit.

It stays small and measures in processes that it starts: what is measured inherits nothing of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from compileall import compile_dir
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import Bench, apart
from benchmarks.report import markdown, section_markdown, this_machine, verdict
from benchmarks.suite import SUITE, measured

DOCS = Path(__file__).parents[1] / "docs"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What resnetgen costs, as ratios to peers that run in turn with it."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUITE)}; without: all of them")
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has torch and torchvision")
    parser.add_argument("--runs", type=int, default=Bench.runs, help=f"rounds of a process (default: {Bench.runs})")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md and docs/benchmarks.png")
    options = parser.parse_args()
    if unknown := set(options.names) - {*SUITE}:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(SUITE)}")
    if options.write and options.names:
        parser.error("--write is of the whole report: name no benchmark")
    if options.write and not find_spec("matplotlib"):
        parser.error("--write needs matplotlib: pip install -e '.[bench]'")
    # As an installer does: an environment that forbids to write bytecode would have every run compile all sources.
    compile_dir(DOCS.with_name("resnetgen"), quiet=1)
    load = [os.getloadavg()[0]]
    sections = []
    for name in options.names or SUITE:
        sections.append(apart(measured, name, Bench(options.peer_python, options.runs)))
        load.append(os.getloadavg()[0])
        print(section_markdown(sections[-1]), end="\n\n", flush=True)
    machine = this_machine(load)
    print(machine, verdict(sections), sep="\n\n")
    if options.write:
        from benchmarks.chart import draw

        (DOCS / "benchmarks.md").write_text(markdown(sections, machine), encoding="utf-8")
        draw(sections, DOCS / "benchmarks.png")
    return 0 if all(figure.held for section in sections for figure in section.figures) else 1


if __name__ == "__main__":
    sys.exit(main())
