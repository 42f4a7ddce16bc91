"""Matching by structure

`diff --ignore-names` of networks that are built to be hard, against the same of networks half as large. What grows in
proportion to the network takes twice as long, and what grows with its square four times. A network of n layers has
convolutions of one blob and twice as many sums of two of them: at random, so that few are alike; or in a row, each
with the next two, so that each convolution has a double. With three random sums for each convolution all look alike,
and the search for a match gives up at its limit. The time is the processor's.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.figure import Result, compare
from benchmarks.measure import Bench, in_turn
from resnetgen.comparison import Net, Record
from resnetgen.comparison import compare as compare_nets

_SIZE = 12_000
"""Convolutions of the larger networks."""
_LIMIT = 2.7
"""n log n takes 2.15 times as long; memory that no cache holds takes some more."""

Pairs = list[tuple[int, int]]


def figures(bench: Bench) -> Iterator[Result]:
    gc.disable()  # as cli.run does
    for name, pairs in (
        ("sums of random pairs, against itself", _random),
        ("sums in a row, against itself", _row),
        ("three random sums of each, against itself", _regular),
    ):
        runs = []
        for size in (_SIZE, _SIZE // 2):
            order = list(range(size))
            random.Random(1).shuffle(order)
            runs.append(
                partial(_duration, _net(size, pairs(size)), _net(size, [(order[x], order[y]) for x, y in pairs(size)]))
            )
        rounds = in_turn(runs, max(3, bench.runs // 2))
        yield compare(f"{_SIZE:,} convolutions, {name}", f"{_SIZE // 2:,} convolutions", "s", rounds, _LIMIT)


def _duration(a: Net, b: Net) -> float:
    start = time.process_time()
    compare_nets(a, b, ignore_names=True)
    return time.process_time() - start


def _net(size: int, pairs: Pairs) -> Net:
    records = [Record("data", "Input")]
    records += [Record(f"conv{at}", "Convolution", inputs=((0, 0),)) for at in range(size)]
    for at, (x, y) in enumerate(pairs):
        records.append(Record(f"sum{at}", "Eltwise", inputs=((x + 1, 0), (y + 1, 0)), commutative=True))
    return Net("generated", "n", tuple(records))


def _random(size: int) -> Pairs:
    rng = random.Random(0)
    return [(rng.randrange(size), rng.randrange(size)) for _ in range(2 * size)]


def _row(size: int) -> Pairs:
    return [(at, at + step) for step in (1, 2) for at in range(size - step)]


def _regular(size: int) -> Pairs:
    ends = [at for at in range(size) for _ in range(3)]
    random.Random(0).shuffle(ends)
    return list(zip(ends[::2], ends[1::2], strict=True))
