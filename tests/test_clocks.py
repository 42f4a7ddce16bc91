"""No test of the default run looks at a clock or at memory: files that name one are listed here, with a reason each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from support.places import TESTS, syntax

MODULES = {"time", "tracemalloc", "timeit", "psutil"}
NAMES = {"getrusage", "setitimer", "alarm", "ru_maxrss", "sleep", "perf_counter", "monotonic", "process_time"}
IN_TEXTS = ("import time", "sleep(", "getrusage(", "wait4(")
"""Of programs that a test starts."""
SHORT = 300
"""Seconds: a timeout of fewer may decide how a test ends."""

ALLOWED = {
    "build/test_sizes.py": "the mark `big`",
    "cli/test_child.py": "a program that waits for a signal, without an end",
    "faults/test_faults.py": "the mark `fault`: kills at random moments, each of which must be fine",
    "fuzz/campaign.py": "ends a campaign by the clock if it is told to",
    "fuzz/command.py": "the same, and prints the time",
    "fuzz/guard.py": "the time of an input; tests give one that no machine reaches",
    "fuzz/shrink.py": "the time of shrinking; tests give one that no machine reaches",
    "fuzz/test_fuzz.py": "a parser that sleeps for ever, and whether a timer is set; the marks `fuzz` and `measured`",
    "support/hostile.py": "RESNETGEN_MEMORY, which a step of CI sets",
    "support/work.py": "what stops a process that hangs",
    "test_benchmarks.py": "a made-up clock and kernel; the mark `measured`",
    "test_clocks.py": "the names",
}
OTHERS = ("servers/", "mutation/")
"""Real servers have a mark; mutation testing is no test."""


def clocks(text: str) -> Iterator[int]:
    """Yield the lines that name a clock, memory that is measured, or a timeout that may decide."""
    harmless = {id(node.func) for node in syntax(text) if isinstance(node, ast.Call) and _is_a_turn(node)}
    for node in syntax(text):
        match node:
            case _ if id(node) in harmless:
                continue
            case ast.Import(names=names) if MODULES & {alias.name for alias in names}:
                yield node.lineno
            case ast.ImportFrom(module=module) if module in MODULES:
                yield node.lineno
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in NAMES:
                yield node.lineno
            case ast.Constant(value=str(value)) if any(word in value for word in IN_TEXTS):
                yield node.lineno
            case ast.keyword(arg="timeout", value=ast.Constant(value=int() | float() as seconds)) if seconds < SHORT:
                yield node.value.lineno
            case ast.Call(func=ast.Attribute(attr="join" | "wait"), args=[ast.Constant(value=int() | float())]):
                yield node.lineno


def _is_a_turn(call: ast.Call) -> bool:
    """Return True for `sleep(0)`, which lets other tasks of an event loop run, in their order."""
    return isinstance(call.func, ast.Attribute) and ast.unparse(call) == "asyncio.sleep(0)"


def found(folder: Path) -> dict[str, list[int]]:
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.py"))}
    lines = {name: [*clocks(path.read_text(encoding="utf-8"))] for name, path in files.items()}
    return {name: places for name, places in lines.items() if places and not name.startswith(OTHERS)}


def test_files_that_name_a_clock_are_listed() -> None:
    assert found(TESTS).keys() == ALLOWED.keys()


def test_clocks_are_found(tmp_path: Path) -> None:
    """Negative control of the test above."""
    texts = (
        "import time\n",
        "from time import perf_counter\n",
        "import tracemalloc\n",
        "resource.getrusage(0)\n",
        "signal.alarm(3)\n",
        "subprocess.run('x', timeout=5)\n",
        "process.join(3)\n",
        "code = 'import time; time.sleep(1)'\n",
        "await asyncio.sleep(1)\n",
    )
    for number, text in enumerate(texts):
        (tmp_path / f"test_{number}.py").write_text(text)
    assert found(tmp_path) == {f"test_{number}.py": [1] for number in range(len(texts))}
    (tmp_path / "test_none.py").write_text("process.join(PATIENCE)\nrun('x', timeout=600)\nawait asyncio.sleep(0)\n")
    assert "test_none.py" not in found(tmp_path)
