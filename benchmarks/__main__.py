"""Whole-process figures of resnetgen as ratios to peers, the two run in turn: python -m benchmarks [--peer-python P].

P is a Python that has torch and torchvision; without it those peers are skipped by name. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cost:
    seconds: float
    mebibytes: float


@dataclass(frozen=True)
class Comparison:
    what: str
    peer: str
    command: Sequence[str]
    peer_command: Sequence[str]


def measure(command: Sequence[str]) -> Cost:
    """Wall time and peak memory of one process, as the kernel counts them, in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    scale = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_maxrss * scale / 2**20)


def has(python: str, module: str) -> bool:
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0


def comparisons(peer_python: str) -> list[Comparison]:
    tool = [sys.executable, "-m", "resnetgen.cli"]
    build = [*tool, "build", "resnet50", "--target", "onnx"]
    found = [Comparison("`--help`", "`python -c pass`", [*tool, "--help"], [sys.executable, "-c", "pass"])]
    export = [peer_python, str(HERE / "torch_export.py")]
    if has(peer_python, "torch"):
        found.append(Comparison("build ResNet-50, ONNX", "torch.onnx.export(dynamo=False)", build, export))
    else:
        print("skipped: torch.onnx.export (no torch in the peer's Python)", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    # What a child inherits as its own peak is ours: keep it small.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 64 * 1024
    print("| what | peer | seconds | peer's | ratio | MiB | peer's |\n|---|---|---|---|---|---|---|")
    for one in comparisons(options.peer_python):
        measure(one.command), measure(one.peer_command)
        pairs = [(measure(one.command), measure(one.peer_command)) for _ in range(options.runs)]
        ratio = median(peer.seconds / mine.seconds for mine, peer in pairs)
        text = f"{ratio:.1f} times faster" if ratio > 1 else f"{1 / ratio:.1f} times its time"
        mine, peer = ([pair[i] for pair in pairs] for i in (0, 1))
        print(
            f"| {one.what} | {one.peer} | {median(c.seconds for c in mine):.3f} "
            f"| {median(c.seconds for c in peer):.3f} | {text} "
            f"| {max(c.mebibytes for c in mine):.0f} | {max(c.mebibytes for c in peer):.0f} |"
        )


main()
