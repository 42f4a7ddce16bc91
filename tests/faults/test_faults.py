"""System calls that fail, and processes that are killed: what stood there is intact, or what is new is whole.

Bounded by default; the long form: RESNETGEN_FAULTS=all RESNETGEN_KILLS=200 pytest -m fault
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.harness import ERRORS, HERE, MAX_CALLS, NET, Runner, Scenario, Trial, settled, tree

pytestmark = pytest.mark.fault

ALL = os.environ.get("RESNETGEN_FAULTS") == "all"
STRIDE = 1 if ALL else 9
"""Of the calls of a command, one in so many is tried; of those near its end, where files are published, each."""
END = 40
KILLS = int(os.environ.get("RESNETGEN_KILLS", "4"))
"""At random moments."""

BUILD = "build {here}/net.yaml --target onnx --target caffe --target ir --output-dir {root}"
TRITON = "deploy {here}/net.yaml --server triton --output-dir {root}/repository --labels {here}/labels.txt"
FOLDER = "deploy {here}/net.yaml --server onnxruntime --output-dir {root}/served"
CONVERT = "weights convert {here}/0.npz {root}/net.safetensors --spec {here}/net.yaml"

SCENARIOS = (
    Scenario("build", BUILD),
    Scenario("build again", f"{BUILD} --seed 1", (BUILD,)),
    Scenario("triton", TRITON),
    Scenario("triton version", f"{TRITON} --seed 1 --max-batch 4", (f"{TRITON} --max-batch 2",)),
    Scenario("onnxruntime", FOLDER, at_once=True),
    Scenario("onnxruntime, empty folder", FOLDER, folders=("served",), at_once=True),
    Scenario("onnxruntime again", f"{FOLDER} --seed 1", (f"{FOLDER} --labels {{here}}/labels.txt",)),
    Scenario("convert", CONVERT),
    Scenario("convert again", CONVERT, (CONVERT.replace("0.npz", "1.npz"),)),
    Scenario("caffemodel", CONVERT.replace("safetensors", "caffemodel")),
)


@pytest.fixture(scope="module")
def here() -> Iterator[Path]:
    """The inputs of the commands; in memory where that can be, since it is not the disk's speed that is tried."""
    from tempfile import TemporaryDirectory

    memory = Path("/dev/shm")
    with TemporaryDirectory(prefix="resnetgen-faults-", dir=memory if memory.is_dir() else None) as folder:
        place = Path(folder).resolve()
        (place / "net.yaml").write_text(NET)
        (place / "labels.txt").write_text("a\nb\nc\nd\n")
        yield place


@pytest.fixture(scope="module")
def runner(here: Path) -> Iterator[Runner]:
    shim = here / "shim.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", shim, HERE / "shim.c", "-ldl"], check=True)
    spec = f"{here}/net.yaml"
    with Runner(shim) as runner:
        for seed in (0, 1):
            runner.warm(f"build {spec} --no-fold --seed {seed} --output-dir {here}/{seed}".split())
            runner.warm(f"weights convert {here}/{seed}/net/net.onnx {here}/{seed}.npz --spec {spec}".split())
        for number, scenario in enumerate(SCENARIOS):
            runner.warm(scenario.command.format(here=here, root=here / f"warm{number}").split())
        yield runner


@pytest.fixture(params=SCENARIOS, ids=lambda scenario: scenario.name)
def trial(request: pytest.FixtureRequest, runner: Runner, here: Path) -> Iterator[Trial]:
    folder = here / "trial"
    yield Trial(request.param, runner, folder)
    shutil.rmtree(folder)


def moments(trial: Trial, end: int) -> Iterator[int]:
    """Numbers of calls, beyond the last one that the command makes."""
    first = SCENARIOS.index(trial.scenario) % STRIDE
    return (at for at in range(1, MAX_CALLS) if at > trial.calls - end or at % STRIDE == first)


def test_a_call_that_fails_leaves_the_old_output_or_the_new(trial: Trial) -> None:
    """The call number i for every i, each with every error."""
    wrong: list[str] = []
    codes: set[tuple[int, int]] = set()
    for at in moments(trial, END):
        tried = [(error, *trial.fail(at, error)) for error in (ERRORS if ALL else [ERRORS[at % len(ERRORS)]])]
        wrong += [line for _, _, lines in tried for line in lines]
        codes |= {(error, ended.code) for error, ended, _ in tried if ended.struck}
        if not any(ended.struck for _, ended, _ in tried):
            break
    assert not wrong, "\n".join(wrong)
    assert {(error, 5) for error in ERRORS} <= codes, "each of the errors was met"


def test_a_kill_at_a_call_leaves_no_part_of_a_file(trial: Trial) -> None:
    wrong: list[str] = []
    for at in moments(trial, 0):
        ended, lines = trial.kill(at)
        wrong += lines
        if not ended.struck:
            break
    assert not wrong, "\n".join(wrong)


def test_a_program_that_writes_in_place_is_caught(runner: Runner, here: Path) -> None:
    """The control of both: files that are written where they shall stand."""
    trial = Trial(SCENARIOS[1], runner, here / "careless", in_place=True)
    try:
        calls = range(1, trial.calls)
        assert any("the old output is not there" in line for at in calls for line in trial.fail(at, ERRORS[0])[1])
        assert any("is neither the old one nor the new" in line for at in calls for line in trial.kill(at)[1])
    finally:
        shutil.rmtree(trial.folder)


def test_kills_at_random_moments(tmp_path: Path) -> None:
    """Of the whole program, started as a user starts it."""
    spec = tmp_path / "net.yaml"
    spec.write_text("use: std\ninput: 8x1x1\nstages: {head: flatten | fc 1024 | fc 4096 | fc 1024}\n")
    dice = random.Random(seed := random.randrange(1 << 32))

    def start(root: Path, seed: int) -> subprocess.Popen[bytes]:
        words = ["-m", "resnetgen.cli", "build", str(spec), "--output-dir", str(root), "--seed", str(seed)]
        return subprocess.Popen(
            [sys.executable, *words, "--target", "onnx", "--target", "caffe"], stdout=subprocess.DEVNULL
        )

    whole = []
    for number in (0, 1):
        begun = time.monotonic()
        assert start(tmp_path / f"whole{number}", number).wait() == 0
        whole.append(tree(tmp_path / f"whole{number}"))
    lasts = time.monotonic() - begun
    root = tmp_path / "root"
    shutil.copytree(tmp_path / "whole0", root)
    struck = 0
    for kill in range(KILLS):
        process = start(root, 1 - kill % 2)
        time.sleep(dice.uniform(0.2, 1) * lasts)
        process.kill()
        struck += process.wait() < 0
        left = settled(tree(root))
        partial = [name for name, value in left.items() if value not in (whole[0].get(name), whole[1].get(name))]
        assert not partial, f"seed {seed}, kill {kill}"
        assert start(root, kill % 2).wait() == 0
        assert tree(root) == whole[kill % 2], f"seed {seed}, kill {kill}"
    assert struck >= KILLS // 4
