"""Inference

Our models of torchvision's networks on ONNX Runtime: fp32 against what torch.onnx.export(dynamo=False) made of
torchvision's own, and int8 against our fp32. One image at once; both sessions stand in one process. Loading is the
creation of a session, in a process of its own: where a model was loaded before, it depends on what memory that left.
The limits of int8 are for a processor with VNNI, which has dot products of 8-bit integers: at least 2.5 times as fast
as fp32, with two threads 2 times. Without it they are 1.6 and 1.5 times.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figure import Figure, Result, compare
from benchmarks.measure import PEERS, Bench, apart, in_turn, lacking
from benchmarks.processor import has_vnni
from benchmarks.suite.build import TORCH

if TYPE_CHECKING:
    from resnetgen.precision.precision_options import Precision

NETWORKS = {"resnet18": "ResNet-18", "resnet50": "ResNet-50"}
PEER = "torchvision's export"
INT8 = {True: {1: 1 / 2.5, 2: 1 / 2}, False: {1: 1 / 1.6, 2: 1 / 1.5}}
"""Whether the processor has VNNI -> threads -> limit of int8's time over that of fp32."""
THREADS = (1, 2)


def figures(bench: Bench) -> Iterator[Result]:
    from resnetgen.precision.precision_options import Precision

    skipped = lacking(PEER, bench.peer_python, *TORCH)
    if skipped:
        yield skipped
    for network, name in NETWORKS.items():
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            fp32 = built(network, folder)
            if not skipped:
                peer = exported(network, folder, bench.peer_python)
                for threads in THREADS:
                    yield latency(f"run {name}", PEER, fp32, peer, threads, 10 * bench.runs, 1.02)
                    yield loading(f"load {name}", PEER, fp32, peer, threads, 3 * bench.runs, 1)
            beside = built(network, folder / "beside", external=True)
            yield loading(f"load {name}, external data", "in one file", beside, fp32, 1, 3 * bench.runs)
            int8 = built(network, folder, Precision.INT8)
            for threads, limit in INT8[has_vnni()].items():
                yield latency(f"run {name}, int8", "fp32", int8, fp32, threads, 10 * bench.runs, limit)


def built(network: str, folder: Path, precision: Precision | None = None, external: bool = False) -> Path:
    from resnetgen.build.options import Options
    from resnetgen.build.run import build
    from resnetgen.precision.precision_options import TOLERANCES, PrecisionOptions

    chosen = PrecisionOptions(precision, TOLERANCES[precision]) if precision else None
    (done,) = build([f"torchvision/{network}"], Options(output_dir=folder, precision=chosen, external_data=external))
    return next(path for path in done.files if path.suffix == ".onnx")


def exported(network: str, folder: Path, python: str) -> Path:
    command = [python, str(PEERS / "torch_export.py"), network]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "peer.onnx"


def latency(what: str, peer: str, mine: Path, theirs: Path, threads: int, rounds: int, limit: float | None) -> Figure:
    from benchmarks.sessions import Model

    models = [Model(path, threads) for path in (mine, theirs)]
    taken = in_turn([model.latency for model in models], rounds)
    return compare(f"{what}, {_count(threads)}", peer, "ms", taken, limit)


def loading(
    what: str, peer: str, mine: Path, theirs: Path, threads: int, rounds: int, limit: float | None = None
) -> Figure:
    from benchmarks.sessions import creation

    taken = in_turn([lambda: apart(creation, mine, threads), lambda: apart(creation, theirs, threads)], rounds)
    return compare(f"{what}, {_count(threads)}", peer, "ms", taken, limit)


def _count(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"
