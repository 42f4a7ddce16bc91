"""What stands in a folder before a fault, after it, and after the next build."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Self

from resnetgen.staging.folders import PREFIX
from support.work import PATIENCE

HERE = Path(__file__).parent
KILL = -1
ERRORS = (errno.ENOSPC, errno.EIO, errno.EINTR)
RETRIED = {"open64", "read", "write", "fsync", "flock"}
"""The calls that a signal can interrupt."""
MAX_CALLS = 2000
"""A command that makes more of them is too large for these tests."""

NET = """\
use: std
input: 3x8x8
params: {classes: 4}
preprocess: {color: rgb, divide: 255}
stages:
  conv: 8x8 | 3x3, 4
  head: 1x1 | gap | fc $classes
"""

Tree = dict[str, str]
"""Path below a folder -> the SHA-256 of a file; empty for a folder, and `-> place` for a link."""


def tree(folder: Path) -> Tree:
    found: Tree = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        else:
            found[name] = sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return found


def settled(found: Tree) -> Tree:
    """Without staging folders."""
    return {name: value for name, value in found.items() if PREFIX not in name}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    said: str
    calls: int
    struck: str
    """The call that failed; empty where the command made fewer calls."""


class Runner:
    """Runs commands in forks of one process, so that a run costs no import."""

    def __init__(self, shim: Path) -> None:
        # Threads that numpy begins would not be there in a fork.
        environment = os.environ | {"LD_PRELOAD": str(shim), "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "ignore", str(HERE / "runner.py")]
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, text=True)

    def _ask(self, **request: object) -> dict[str, object]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, object] = json.loads(self._process.stdout.readline())
        return answer

    def warm(self, arguments: list[str]) -> None:
        """Run once in the process itself, which then has imported what this needs."""
        answer = self._ask(warm=True, arguments=arguments)
        assert answer["code"] == 0, answer["said"]

    def run(self, arguments: list[str], root: Path, at: int = 0, error: int = 0, in_place: bool = False) -> Ended:
        """Let the call number `at` (from 1) on the files below `root` fail with `error`, or die of it."""
        answer = self._ask(arguments=arguments, root=str(root), at=at, error=error, in_place=in_place)
        return Ended(**answer)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(PATIENCE)


@dataclass(frozen=True)
class Scenario:
    """A command, and those that made what it finds. `{root}` is the folder that it writes to, `{here}` its inputs."""

    name: str
    command: str
    before: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    """Empty folders below `root` that exist before the command."""
    at_once: bool = False
    """True if the whole output appears by one rename, so that a kill leaves either none or all of it."""


@dataclass
class Trial:
    """A scenario in a folder: `old` and `new` are what stands there before and after it, `root` where it is tried."""

    scenario: Scenario
    runner: Runner
    folder: Path
    in_place: bool = False

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        self._saved = self.folder / "saved"
        self.root.mkdir(parents=True)
        for name in self.scenario.folders:
            (self.root / name).mkdir()
        for command in self.scenario.before:
            self._must(command)
        shutil.copytree(self.root, self._saved)
        self.old = tree(self.root)
        self._must(self.scenario.command)
        self.new = tree(self.root)

    def _arguments(self, command: str) -> list[str]:
        return command.format(root=self.root, here=self.folder.parent).split()

    def _must(self, command: str) -> None:
        ended = self.runner.run(self._arguments(command), self.root, in_place=self.in_place)
        assert ended.code == 0, ended.said

    def reset(self) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self._saved, self.root)

    @cached_property
    def calls(self) -> int:
        """About how many the command makes; its threads make that vary."""
        self.reset()
        return self.run().calls

    def run(self, at: int = 0, error: int = 0) -> Ended:
        return self.runner.run(self._arguments(self.scenario.command), self.root, at, error, self.in_place)

    def fail(self, at: int, error: int) -> tuple[Ended, list[str]]:
        """Let the call `at` fail: how the command ended, and what is wrong with that."""
        self.reset()
        ended, found = self.run(at, error), tree(self.root)
        return ended, [
            f"{errno.errorcode[error]} at call {at}, {ended.struck}: {line}"
            for line in self._faults(ended, found, error)
        ]

    def _faults(self, ended: Ended, found: Tree, error: int) -> Iterator[str]:
        if error == errno.EINTR and ended.struck in RETRIED and ended.code:
            yield "it was not tried again"
        if ended.code not in (0, 5):
            yield f"exit {ended.code}: {ended.said}"
        if ended.code == 5 and (ended.said.count("error[") != 1 or "Traceback" in ended.said):
            yield f"it says {ended.said!r}"
        wanted, what = (self.old, "old") if ended.code else (self.new, "new")
        if settled(found) != wanted:
            yield f"exit {ended.code}, but the {what} output is not there: {changes(wanted, settled(found))}"
        if found != settled(found):  # the fault struck the cleaning up
            yield from self._next()

    def kill(self, at: int) -> tuple[Ended, list[str]]:
        """Kill the command at the call `at`: how it ended, and what is wrong with what it left."""
        self.reset()
        ended = self.run(at, KILL)
        found = settled(tree(self.root))
        partial = [name for name, value in found.items() if value not in (self.old.get(name), self.new.get(name))]
        lines = [f"{name} is neither the old one nor the new" for name in partial]
        if self.scenario.at_once and found not in (self.old, self.new):
            lines.append(f"a part of the files is there: {sorted(found)}")
        return ended, [f"killed at call {at}: {line}" for line in (*lines, *self._next())]

    def _next(self) -> Iterator[str]:
        """What the next build leaves that it should not."""
        ended, found = self.run(), tree(self.root)
        if ended.code:
            yield f"the next build: exit {ended.code}: {ended.said}"
        if found != settled(found):
            yield f"stray files after the next build: {sorted(found.keys() - settled(found).keys())}"
        if missing := self.new.keys() - found.keys():
            yield f"the next build lacks {sorted(missing)}"


def changes(old: Tree, new: Tree) -> list[str]:
    return sorted(f"{name}: {old.get(name)} -> {new.get(name)}" for name in old | new if old.get(name) != new.get(name))
