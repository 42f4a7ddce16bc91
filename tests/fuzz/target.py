"""What is fuzzed: a parser, inputs that it takes, how they are damaged, and what may come of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from resnetgen.errors import Exit, Failure

MIB = 1 << 20

Mutate: TypeAlias = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
"""An input, a source of chance and the other inputs -> another input."""


class Broken(Exception):
    """The parser refused an input, but not as it promised."""


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
    max_text: int = 50_000
    """Characters of a refusal."""

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
            if failure.exit not in self.exits:
                raise Broken(f"exit {failure.exit} is none of this parser's") from failure
            if len(text) > self.max_text:
                raise Broken(f"an error of {len(text):,} characters") from failure
            if not all(line.isprintable() for line in text.split("\n")):
                raise Broken("an error that drives the terminal") from failure
            return False
        return True


@lru_cache(maxsize=None)
def _seeds(make: Callable[[], Sequence[bytes]]) -> Sequence[bytes]:
    return make()
