"""Every parser against damaged input; what once met a fault, again; and faults planted, which must be found."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest

if sys.platform != "linux":
    pytest.skip("memory is limited and measured as Linux does it", allow_module_level=True)

from fuzz.campaign import Turn, run, run_turn
from fuzz.command import main
from fuzz.corpus import kept
from fuzz.guard import guarded
from fuzz.mutate import wire
from fuzz.target import MIB, Broken, Target
from fuzz.targets import TARGETS
from fuzz.targets.commands import COMMANDS
from resnetgen.cli.exits import Exit
from resnetgen.errors import Code
from support.exits import failure_of
from support.work import count_lines

FOREVER = 1e9
LINES = 2_000_000
"""Of Python, for an input that once was slow or met another fault. Measured: 0.2 million at most."""


def patient(target: Target) -> Target:
    """Return the target with no limit of time that a busy machine could reach."""
    return replace(target, seconds=FOREVER, shrink_seconds=FOREVER)


@pytest.mark.parametrize("path", kept(), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_met_a_fault_meets_none(path: Path) -> None:
    with guarded(patient(TARGETS[path.parent.name])) as guard, count_lines(limit=LINES):
        fault = guard.fault(path.read_bytes())
    assert fault is None, fault.trace


@pytest.mark.measured
def test_what_once_met_a_fault_meets_none_in_its_time() -> None:
    for path in kept():
        with guarded(TARGETS[path.parent.name]) as guard:
            fault = guard.fault(path.read_bytes())
        assert fault is None, fault.trace


def marks(target: Target) -> Sequence[pytest.MarkDecorator]:
    """Whole commands take a while."""
    return [pytest.mark.fuzz] if target in COMMANDS else []


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_few_mutants(target: Target) -> None:
    tally = run_turn(Turn(patient(target), seed=0, start=0, count=10, end=FOREVER))
    assert not tally.faults, [fault.trace for fault in tally.faults.values()]
    assert tally.inputs


@pytest.mark.fuzz
def test_every_parser(tmp_path: Path) -> None:
    """By the clock: with what else is fuzzed it takes a minute."""
    assert main(["--seconds", "38", "--seed", str(time.time_ns()), "--save", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(t, marks=pytest.mark.fuzz if name.startswith("run-") else (), id=name)
        for name, t in TARGETS.items()
    ],
)
def test_seeds_pass_and_most_mutants_are_refused(target: Target, tmp_path: Path) -> None:
    """Else it would be another parser's inputs that are damaged, or the damage would not reach anything."""
    if target.name != "pickle":  # whose inputs are made from nothing
        assert sum(target.attempt(seed, tmp_path) for seed in target.seeds) >= min(2, len(target.seeds))
    assert [target.input(3, index) for index in range(9)] == [target.input(3, index) for index in range(9)]
    mutants = {target.input(3, index) for index in range(60)}
    assert len(mutants) > 30
    if target.name not in ("manifest", "metadata", "served"):  # which take what they do not understand for absent
        assert not all(target.attempt(data, tmp_path) for data in mutants)


# Negative controls: parsers of labels with a fault of each kind, which shows where a label says `shark`


def meets(data: bytes) -> bool:
    return b"shark" in data


def crashes(data: bytes, folder: Path) -> None:
    assert not meets(data)


def hangs(data: bytes, folder: Path) -> None:
    """In a loop that takes every Exception for one of its own, and in which its time runs out."""
    while meets(data):
        try:
            signal.raise_signal(signal.SIGPROF)
        except Exception:
            continue


def hangs_for_its_time(data: bytes, folder: Path) -> None:
    while meets(data):
        try:
            sum(range(1000))
        except Exception:
            continue


def allocates(data: bytes, folder: Path) -> None:
    bytearray(4096 * MIB * meets(data))


def refuses(data: bytes, folder: Path, exit: Exit = Exit.BUG, text: str = "a bug") -> None:
    if meets(data):
        raise failure_of(exit, Code.LABELS, text)


talks = partial(refuses, exit=Exit.IO, text="no shark\n" * 10_000)


def dies(data: bytes, folder: Path) -> None:
    if meets(data):
        os._exit(9)


ASLEEP = "RESNETGEN_TEST_ASLEEP"


def sleeps(data: bytes, folder: Path) -> None:
    """Without the processor, and past every signal."""
    if meets(data):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        Path(os.environ[ASLEEP]).touch()
        time.sleep(FOREVER)


def planted(parse: Callable[..., None]) -> Target:
    return patient(replace(TARGETS["labels"], parse=parse, make_seeds=healthy_seeds))


def healthy_seeds() -> list[bytes]:
    """Those with a shark come about by damage."""
    return [b"tench\ngoldfish\nsharp\n" + bytes([97 + i]) * 5 for i in range(4)]


def with_shark(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    return data.replace(b"sharp", random.choice((b"sharp", b"shark")))


@pytest.mark.parametrize(
    ("parse", "what"),
    [
        (crashes, "AssertionError"),
        (hangs, "Hang"),
        (allocates, "MemoryError"),
        (refuses, "an exit code that is none of this parser's"),
        (talks, "a text that is too long"),
    ],
)
def test_a_planted_fault_is_found_and_shrunk(parse: Callable[..., None], what: str) -> None:
    target = replace(planted(parse), mutate=with_shark)
    assert_found(target, what)


@pytest.mark.measured
def test_a_hang_is_found_when_its_time_is_over() -> None:
    target = replace(planted(hangs_for_its_time), mutate=with_shark, seconds=0.2)
    assert_found(target, "Hang")


def assert_found(target: Target, what: str) -> None:
    tally = run_turn(Turn(target, seed=0, start=0, count=12, end=FOREVER))
    (fault,) = tally.faults.values()
    assert fault.what.startswith(what)
    assert fault.data == b"shark"
    assert tally.inputs == 12
    assert tally.taken < 12
    assert resource.getrlimit(resource.RLIMIT_DATA) == BEFORE
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


BEFORE = resource.getrlimit(resource.RLIMIT_DATA)


def test_the_time_of_an_input_runs_out_by_a_signal() -> None:
    """The signal's timer is set while a parser runs; what it does is planted above."""
    timers: list[float] = []

    def parse(data: bytes, folder: Path) -> None:
        timers.append(signal.getitimer(signal.ITIMER_PROF)[0])

    with guarded(replace(planted(parse), seconds=1000)) as guard:
        assert guard.fault(b"") is None
    assert timers[:-1] == [0] * len(healthy_seeds()), "seeds are read before, without it"
    assert 0 < timers[-1] < 2000


class Clock:
    """In place of `time`: stands still until the parser is asleep, then runs."""

    def __init__(self, asleep: Path) -> None:
        self.asleep, self.now = asleep, 0.0

    def monotonic(self) -> float:
        self.now += 100 * self.asleep.exists()
        return self.now


@pytest.mark.parametrize(("parse", "what"), [(dies, "crash, exit code 9"), (sleeps, "no sign of life")])
def test_what_takes_its_process_along_is_found(
    parse: Callable[..., None], what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = tmp_path / "asleep"
    monkeypatch.setenv(ASLEEP, str(asleep))
    monkeypatch.setattr("fuzz.campaign.time", Clock(asleep))
    target = replace(planted(parse), mutate=with_shark)
    tallies = run([target], inputs=4, processes=1)
    (fault,) = tallies[target.name].faults.values()
    assert fault.what.startswith(what)
    assert meets(fault.data)


def test_a_healthy_parser_has_none() -> None:
    target = replace(planted(lambda data, folder: None), mutate=with_shark)
    tally = run_turn(Turn(target, seed=0, start=0, count=12, end=FOREVER))
    assert (tally.inputs, tally.taken, tally.faults) == (12, 12, {})


def test_an_error_must_not_drive_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = planted(partial(refuses, exit=Exit.IO, text="\x1b[2Jno"))
    assert not target.attempt(b"shark", tmp_path)  # shown as an escape
    monkeypatch.setattr("resnetgen.errors.escape", str)
    with pytest.raises(Broken, match="drives the terminal"):
        target.attempt(b"shark", tmp_path)


# The command


def test_the_command_saves_what_it_finds_and_runs_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TARGETS, "labels", replace(planted(crashes), mutate=with_shark))
    monkeypatch.setattr("fuzz.campaign._STALLED", FOREVER)
    options = ["--target", "labels", "--inputs", "8", "--processes", "1", "--save", str(tmp_path)]
    assert main(options) == 1
    printed = capsys.readouterr().out
    (path,) = tmp_path.glob("labels/*")
    assert path.read_bytes() == b"shark"
    assert f"python -m tests.fuzz --target labels {path}" in printed
    assert main(["--target", "labels", str(path)]) == 1
    assert "AssertionError" in capsys.readouterr().out
    monkeypatch.undo()
    assert main(["--target", "labels", str(path)]) == 0  # five labels are wanted, and it is refused
    assert capsys.readouterr().out == f"{path}: ok\n"


def test_an_unknown_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "nothing"]) == 2
    assert "no target is called 'nothing'; known: yaml," in capsys.readouterr().err


def test_a_message_is_what_it_was() -> None:
    """Damage to fields needs a decoder that loses nothing."""
    for data in TARGETS["onnx"].seeds:
        message = wire.decoded(data)
        assert message
        assert wire.encoded(message) == data
        assert any(isinstance(field.payload, list) for field in message)
