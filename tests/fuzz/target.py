"""What is fuzzed: a parser, inputs that it takes, how they are damaged, and what may come of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure

MIB = 1 << 20

Mutate: TypeAlias = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
"""An input, a source of chance and the other inputs -> another input."""


class Broken(Exception):
    """The parser refused an input, but not as it promised. `what` is the same for all that broke the same promise."""

    def __init__(self, what: str, detail: object) -> None:
        super().__init__(f"{what}: {detail}")
        self.what = what


@dataclass(frozen=True)
class Target:
    """All are functions of modules, so that a target can be sent to another process."""

    name: str
    parse: Callable[[bytes, Path], None]
    """Given an input and a folder, on a disk of memory, for what must be a file. Raises Failure."""
    make_seeds: Callable[[], Sequence[bytes]]
    mutate: Mutate
    exits: frozenset[Exit]
    """Those that a refusal may have."""
    memory: int = 512 * MIB
    """Bytes that one input may take."""
    max_text: int = 20_000
    """Characters of a refusal."""
    seconds: float | None = None
    """Of the processor, for one input; None: those of the guard."""
    shrink_seconds: float = 15
    """For making a faulty input smaller."""

    @property
    def seeds(self) -> Sequence[bytes]:
        return _seeds(self.make_seeds)

    def input(self, seed: int, index: int) -> bytes:
        """The same for the same numbers, in whatever process."""
        chance = random.Random(f"{self.name} {seed} {index}")
        return self.mutate(chance.choice(self.seeds), chance, self.seeds)

    def attempt(self, data: bytes, folder: Path) -> bool:
        """Whether the parser took the input. Raises whatever it must not raise."""
        try:
            self.parse(data, folder)
        except Failure as failure:
            text = str(failure)
            if exit_code(failure) not in self.exits:
                raise Broken("an exit code that is none of this parser's", exit_code(failure)) from failure
            if len(text) > self.max_text:
                raise Broken("a text that is too long", f"{len(text):,} characters") from failure
            if not all(line.isprintable() for line in text.split("\n")):
                raise Broken("a text that drives the terminal", repr(text[:500])) from failure
            return False
        return True


@cache
def _seeds(make: Callable[[], Sequence[bytes]]) -> Sequence[bytes]:
    return make()
