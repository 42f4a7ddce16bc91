"""What our ONNX costs to run: python -m benchmarks.inference [--peer-python P].

int8 against fp32, and fp32 against torchvision's own export of the same network, latency and the creation of a session,
in turn in one process. P is a Python that has torch and torchvision; without it that peer is skipped by name. Prints
Markdown tables.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.sessions import Model, in_turn, medians, ratio
from resnetgen.compiler import build
from resnetgen.job import Options
from resnetgen.precision.choice import GATES, Lowering, Precision

NETWORKS = ("resnet18", "resnet50")
HERE = Path(__file__).parent


def onnx_file(network: str, folder: Path, precision: Precision | None) -> Path:
    lowering = Lowering(precision, GATES[precision]) if precision else None
    (built,) = build([f"torchvision/{network}"], Options(output_dir=folder, lowering=lowering))
    return next(path for path in built.files if path.suffix == ".onnx")


def peer_file(network: str, folder: Path, python: str) -> Path | None:
    command = [python, str(HERE / "torch_export.py"), network]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        print(f"skipped: torchvision's export ({done.stderr.strip().splitlines()[-1]})", file=sys.stderr)
        return None
    return folder / "peer.onnx"


def compare(what: str, mine: Path, peer: Path, rounds: int) -> None:
    """Latency on one thread and on two, and again the peer against itself: what the machine's noise is."""
    for threads in (1, 2):
        a, b = Model(mine, threads), Model(peer, threads)
        times = in_turn([a, b, b], rounds)
        first, second, _ = medians(times)
        print(
            f"| {what} | {threads} | {first:.1f} | {second:.1f} | {ratio(times, 0, 1):.3f} | {ratio(times, 2, 1):.3f} |"
        )


def creation(what: str, mine: Path, peer: Path, rounds: int) -> None:
    for threads in (1, 2):
        times = [[Model(path, threads).creation for path in (mine, peer, peer)] for _ in range(rounds)]
        first, second, _ = medians(times)
        print(
            f"| {what}, session | {threads} | {first:.1f} | {second:.1f} "
            f"| {ratio(times, 0, 1):.3f} | {ratio(times, 2, 1):.3f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inference", description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    print("| what, to what | threads | ms | peer's | ratio | peer to itself |\n|---|---|---|---|---|---|")
    for network in NETWORKS:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            whole = onnx_file(network, folder, None)
            compare(f"{network} int8, fp32", onnx_file(network, folder, Precision.INT8), whole, options.rounds)
            if peer := peer_file(network, folder, options.peer_python):
                compare(f"{network} fp32, torchvision's export", whole, peer, options.rounds)
                creation(f"{network} fp32, torchvision's export", whole, peer, max(5, options.rounds // 4))


if __name__ == "__main__":
    main()
