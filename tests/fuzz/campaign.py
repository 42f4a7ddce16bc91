"""Many inputs over many parsers, in processes of their own, so that a crash of one is a finding as well."""

from __future__ import annotations

import multiprocessing as mp
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from fuzz.guard import Fault, guarded
from fuzz.shrink import shrunk
from fuzz.target import Target

_TURN = 2000
"""Inputs for which a process stays with a target."""
_TURN_SECONDS = 1.0
"""The same where the campaign ends by the clock."""
_STALLED = 60.0
"""Seconds without a sign of life, after which a process is given up: code of C does not hear signals."""
_IDLE = -1
"""In place of the number of an input: none runs yet."""


@dataclass(frozen=True)
class Turn:
    target: Target
    seed: int
    start: int
    count: int
    end: float
    """By time.monotonic."""


@dataclass
class Tally:
    """What came of a target's inputs."""

    inputs: int = 0
    taken: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    memory: int = 0
    """The most that a process had while it ran them, in bytes."""
    faults: dict[str, Fault] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.taken += other.taken
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)
        self.memory = max(self.memory, other.memory)
        for what, fault in other.faults.items():
            known = self.faults.setdefault(what, fault)
            if len(fault.data) < len(known.data):
                self.faults[what] = fault


def run_turn(turn: Turn, beat: Callable[[int], None] = lambda index: None) -> Tally:
    """`beat` is told the number of each input before it runs."""
    tally, start = Tally(), time.monotonic()
    with guarded(turn.target) as guard:
        for index in range(turn.start, turn.start + turn.count):
            if time.monotonic() > turn.end:
                break
            beat(index)
            fault = guard.fault(turn.target.input(turn.seed, index))
            tally.inputs += 1
            tally.taken += guard.took
            if fault and fault.what not in tally.faults:
                tally.faults[fault.what] = shrunk(fault, guard)
        tally.slowest = guard.slowest
    tally.seconds = time.monotonic() - start
    tally.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return tally


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    beats: Any
    """The number of the input that runs, shared by both processes."""
    turn: Turn | None = None
    seen: int = 0
    since: float = 0.0
    """By time.monotonic: when `beats` was seen to change."""

    @classmethod
    def start(cls) -> _Worker:
        context = mp.get_context("spawn")
        ours, theirs = context.Pipe()
        beats = context.RawValue("q", _IDLE)
        process = context.Process(target=_work, args=(theirs, beats), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours, beats)

    def give(self, turn: Turn) -> None:
        self.turn, self.seen, self.since = turn, _IDLE, time.monotonic()
        self.beats.value = _IDLE
        self.pipe.send(turn)

    def is_stalled(self) -> bool:
        if self.beats.value != self.seen:
            self.seen, self.since = self.beats.value, time.monotonic()
        patience = 10 * _STALLED if self.seen == _IDLE else _STALLED  # the process starts and imports
        return time.monotonic() - self.since > patience

    def lost(self, how: str) -> Tally:
        """Of a turn that did not come back: the input that ran is the fault."""
        assert self.turn
        self.process.kill()
        self.process.join()
        target, index = self.turn.target, max(self.beats.value, self.turn.start)
        what = f"{how}, exit code {self.process.exitcode}"
        data = target.input(self.turn.seed, index)
        return Tally(inputs=index - self.turn.start + 1, faults={what: Fault(target.name, what, data, what)})


def _work(pipe: Connection, beats: Any) -> None:
    def beat(index: int) -> None:
        beats.value = index

    while turn := pipe.recv():
        pipe.send(run_turn(turn, beat))


def run(
    targets: Sequence[Target],
    seed: int = 0,
    inputs: int | None = None,
    seconds: float | None = None,
    processes: int = 2,
    told: Callable[[dict[str, Tally]], None] = lambda tallies: None,
) -> dict[str, Tally]:
    """So many inputs, split evenly among the targets, or so many seconds; `told` after each turn."""
    tallies = {target.name: Tally() for target in targets}
    end = time.monotonic() + (seconds or 1e9)
    turns = _turns(targets, seed, inputs, end, seconds is not None)
    workers = [_Worker.start() for _ in range(processes)]
    try:
        busy = [worker for worker in workers if _next(worker, turns)]
        while busy:
            ready = wait([worker.pipe for worker in busy], timeout=1)
            for worker in list(busy):
                if worker.pipe not in ready and not worker.is_stalled():
                    continue
                assert worker.turn
                if worker.pipe not in ready:
                    tally, is_lost = worker.lost("no sign of life"), True
                else:
                    tally, is_lost = _received(worker)
                tallies[worker.turn.target.name].add(tally)
                told(tallies)
                busy.remove(worker)
                if is_lost:
                    workers.remove(worker)
                    worker = _Worker.start()
                    workers.append(worker)
                if _next(worker, turns):
                    busy.append(worker)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
    return tallies


def _received(worker: _Worker) -> tuple[Tally, bool]:
    try:
        return worker.pipe.recv(), False
    except EOFError:
        return worker.lost("crash"), True


def _next(worker: _Worker, turns: Iterator[Turn]) -> bool:
    turn = next(turns, None)
    if turn:
        worker.give(turn)
    return turn is not None


def _turns(targets: Sequence[Target], seed: int, inputs: int | None, end: float, by_clock: bool) -> Iterator[Turn]:
    """One target after the other, again and again."""
    share = -(-inputs // len(targets)) if inputs else 1 << 62
    for start in range(0, share, _TURN):
        for target in targets:
            now = time.monotonic()
            if now > end:
                return
            stop = min(end, now + _TURN_SECONDS) if by_clock else end
            yield Turn(target, seed, start, min(_TURN, share - start), stop)
