"""Hostile files

Files that are built to be slow or large. All are refused with exit 6, within two seconds of the processor's time, of
which the start of the program takes a tenth. Each is a process of its own; the time is that of all its threads.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.figure import Result, compare
from benchmarks.measure import TOOL, Bench, apart, in_turn, process

_SECONDS = 2.0
_REFUSED = 6
_LAYER = 'layer {{ name: "a" type: "ReLU" {} }}\n'
_HEAD = "use: std\ninput: 3x8x8\n"
_STAGES = "stages: {a: b() x 19000}\n"
_CALLS = "|".join(["b{}()"] * 10)


def _numbered(line: str, count: int) -> str:
    return "".join(line.format(number) for number in range(count))


PROTOTXTS: dict[str, Callable[[], str]] = {
    "8,000,000 strings side by side": lambda: "name: " + '"a"' * 8_000_000,
    "999,000 fields": lambda: _LAYER.format("f {" + "a: 1 " * 999_000 + "}"),
    "900,000 bottoms of one layer": lambda: _LAYER.format('bottom: "data" ' * 900_000),
    "64 MiB of comments": lambda: "#\n" * (32 << 20),
    "16 MiB of comments": lambda: "#\n" * (8 << 20),
    "64 MiB of spaces": lambda: " " * ((64 << 20) + 1),
    "16 MiB of line breaks": lambda: "\n" * (16 << 20),
    "16 MiB of braces": lambda: "{" * (16 << 20),
    "700,000 messages in one another": lambda: "a{" * 700_000,
    "a string of 8,000,000 escapes": lambda: 'name: "' + "\\n" * 8_000_000 + '"',
    "600,000 rules for a phase": lambda: _LAYER.format("include{phase:TRAIN}" * 600_000),
    "300,000 fields in 95 messages": lambda: _LAYER.format("a {" * 95 + _numbered("a{}:1 ", 300_000) + "}" * 95),
    "fields in a name of 1 MB": lambda: _LAYER.format("n" * 1_000_000 + "{" + _numbered("a{}:1 ", 100_000) + "}"),
}
SPECS: dict[str, Callable[[], str]] = {
    "1 MiB": lambda: "#" * (1 << 20),
    "`use` of 60,000 times std": lambda: f"use: [{'std,' * 60_000}]\ninput: 3x8x8\nstages: {{a: gap}}\n",
    "`use` of 9,000 times std": lambda: f"use: [{'std,' * 9_000}]\ninput: 3x8x8\nstages: {{a: gap}}\n",
    "25,000 keys": lambda: _numbered("k{}: 1\n", 25_000),
    "60,000 mappings": lambda: f"a: [{'{},' * 60_000}]\n",
    "60 rows of 4,000 characters": lambda: f"{_HEAD}stages:\n" + _numbered("  a{}: relu" + "|relu" * 790 + "\n", 60),
    "4,000 names in a block that is called 19,000 times": lambda: (
        f"{_HEAD}blocks:\n b:\n  body: relu\n  let:\n{_numbered('   n{}: 1' + chr(10), 4_000)}{_STAGES}"
    ),
    "3,000 cases, likewise": lambda: (
        f"{_HEAD}blocks:\n b:\n  choose:\n" + "   - {if: 0, then: relu}\n" * 3_000 + f"   - {{then: relu}}\n{_STAGES}"
    ),
    "blocks that call ten of each other, 30 deep": lambda: (
        f"{_HEAD}blocks:\n b0: {{body: identity}}\n"
        + "".join(f" b{at}: {{body: '{_CALLS.replace('{}', str(at - 1))}'}}\n" for at in range(1, 31))
        + "stages: {a: b30()}\n"
    ),
}


def figures(bench: Bench) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as made:
        apart(_write, made)  # so that this process stays small
        for kind, ending, command in (("a prototxt", "prototxt", "diff"), ("a spec", "yaml", "summary")):
            for number, name in enumerate(PROTOTXTS if ending == "prototxt" else SPECS):
                path = str(Path(made, f"{number}.{ending}"))
                words = [TOOL, command, path, *([path] if command == "diff" else [])]
                rounds = in_turn([partial(_processor, words), lambda: _SECONDS], 3)
                yield compare(f"refuse {kind}: {name}", "two seconds", "s", rounds, limit=1)


def _processor(command: list[str]) -> float:
    return process(command, _REFUSED).processor


def _write(folder: str) -> None:
    for ending, texts in (("prototxt", PROTOTXTS), ("yaml", SPECS)):
        for number, text in enumerate(texts.values()):
            Path(folder, f"{number}.{ending}").write_text(text())
