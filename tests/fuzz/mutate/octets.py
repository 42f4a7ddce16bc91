"""Damage to bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from fuzz.target import Mutate

Step = Callable[[bytearray, Random], None]


def flip(data: bytearray, random: Random) -> None:
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def number(data: bytearray, random: Random) -> None:
    """Another number of one to eight bytes, of those that sizes go wrong by."""
    size = random.choice((1, 2, 4, 8))
    value = random.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), random.randrange(2 ** (8 * size))))
    at = random.randrange(len(data))
    data[at : at + size] = value.to_bytes(size, "little")


def move(data: bytearray, random: Random) -> None:
    """A piece copied to elsewhere, over what is there or between."""
    start, at = random.randrange(len(data)), random.randrange(len(data))
    piece = data[start : start + random.randrange(1, 200)]
    data[at : at + random.choice((0, len(piece)))] = piece


def drop(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data))
    del data[at : at + random.randrange(1, 100)]


def cut(data: bytearray, random: Random) -> None:
    del data[random.randrange(1, len(data)) :]


STEPS: tuple[Step, ...] = (flip, flip, number, number, move, drop, cut)


def mutate(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        if len(out) < 2:
            break
        random.choice(STEPS)(out, random)
    if random.random() < 0.02:
        other = random.choice(others)
        out += other[random.randrange(len(other) + 1) :]
    return bytes(out)


def mostly(structured: Mutate, share: float = 0.2) -> Mutate:
    """Damage of another kind, but for a share of the inputs; some of those are damaged as bytes on top."""
    return _Mostly(structured, share)


class _Mostly:
    def __init__(self, structured: Mutate, share: float) -> None:
        self.structured, self.share = structured, share

    def __call__(self, data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
        as_bytes = random.random() < self.share
        if not as_bytes or random.random() < 0.2:
            data = self.structured(data, random, others)
        return mutate(data, random, others) if as_bytes else data
