"""Thousands of damaged weight files: each is refused with exit 4 or read, at once and in little memory.

`pytest -m fuzz tests/checkpoint_fuzz.py`
"""

from __future__ import annotations

import random as rng
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoint_files import FILES, TENSORS, pickled, state, zip_of

from resnetgen.errors import Exit, Failure
from resnetgen.weights.checkpoint import open_checkpoint
from resnetgen.weights.checkpoint.pickled import BadPickle, load

pytestmark = pytest.mark.fuzz

ROUNDS = 5_000
MEMORY = 40 << 20
SECONDS = 2
MAX_TEXT = 3000
"""Characters of an error."""


def flip(data: bytearray, random: rng.Random) -> None:
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def number(data: bytearray, random: rng.Random) -> None:
    """Another number of one to eight bytes, of those that sizes go wrong by."""
    size = random.choice((1, 2, 4, 8))
    value = random.choice((0, 1, 2 ** (8 * size) - 1, 2 ** (8 * size - 1), random.randrange(2 ** (8 * size))))
    at = random.randrange(len(data))
    data[at : at + size] = value.to_bytes(size, "little")


def move(data: bytearray, random: rng.Random) -> None:
    """A piece copied to elsewhere, over what is there or between."""
    start, at = random.randrange(len(data)), random.randrange(len(data))
    piece = data[start : start + random.randrange(1, 200)]
    data[at : at + random.choice((0, len(piece)))] = piece


def drop(data: bytearray, random: rng.Random) -> None:
    at = random.randrange(len(data))
    del data[at : at + random.randrange(1, 100)]


def cut(data: bytearray, random: rng.Random) -> None:
    del data[random.randrange(1, len(data)) :]


MUTATIONS: tuple[Callable[[bytearray, rng.Random], None], ...] = (flip, flip, number, number, move, drop, cut)


def mutated(data: bytes, random: rng.Random) -> bytes:
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        random.choice(MUTATIONS)(out, random)
        if len(out) < 2:
            break
    return bytes(out)


def attempt(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        read = open_checkpoint(path)
        for name, entry in read.entries.items():
            values = read.array(name)
            assert values.shape == entry.shape
    except Failure as failure:
        if failure.exit is not Exit.MODEL or len(str(failure)) > MAX_TEXT:
            raise
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY
    assert time.perf_counter() - start < SECONDS


@pytest.mark.parametrize("format", FILES)
def test_files(format: str, tmp_path: Path) -> None:
    for seed in range(ROUNDS):
        random = rng.Random(f"{format} {seed}")
        data = mutated(FILES[format], random)
        try:
            attempt(tmp_path / "weights", data)
        except BaseException:
            print(f"{format}, seed {seed}: {data!r}")
            raise


def test_pickles_in_whole_archives(tmp_path: Path) -> None:
    """Past the checksum, which else would keep most of them out."""
    values, storages = state(TENSORS)
    for seed in range(ROUNDS):
        random = rng.Random(seed)
        members = {f"a/data/{key}": data for key, data in storages.items()}
        attempt(tmp_path / "w", zip_of({"a/data.pkl": mutated(pickled(values), random)} | members))


def test_pickles_of_random_steps() -> None:
    """Of the opcodes that the machine knows, with arguments that are mostly small."""
    alphabet = [bytes([code]) for code in b"(.0120NN]})tueasbQR\x81\x85\x86\x87\x88\x89\x94\x93"]
    alphabet += [
        b"K\x01",
        b"K\x02",
        b"q\x00",
        b"h\x00",
        b"q\x01",
        b"h\x01",
        b"X\x01\x00\x00\x00a",
        b"c\x00\n",
        b"ca\nb\n",
    ]
    for seed in range(20 * ROUNDS):
        random = rng.Random(seed)
        data = b"\x80\x02" + b"".join(random.choices(alphabet, k=random.randrange(1, 40))) + b"."
        try:
            load(data, {"a.b": lambda *_: 1}, {}, lambda _: 2)
        except BadPickle as error:
            if len(str(error)) > MAX_TEXT:
                raise
