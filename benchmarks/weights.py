"""Importing ResNet-152's weights against reading, hashing and writing the same bytes: python -m benchmarks.weights.

Each run is a process of its own, which times itself once its modules are imported. The peer reads and hashes the
checkpoint and writes and hashes a copy, one after the other, as a script would. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SPEC = "torchvision/resnet152"
_CHUNK = 1 << 20


def make_checkpoint(path: Path) -> int:
    """A safetensors file of random weights by torchvision's names; its payload in bytes."""
    from resnetgen.compiler import compile_spec
    from resnetgen.pretrained import weight_namings
    from resnetgen.weights.checkpoint import Head, write_checkpoint
    from resnetgen.weights.draw import keys, payload
    from resnetgen.weights.initialise import Init, Initialised

    compiled = compile_spec(SPEC)
    naming = next(one for one in weight_namings(compiled.spec, compiled.graph) if one.world == "torchvision")
    shapes, weights = keys(compiled.graph), Initialised(compiled.graph, 0, Init.RANDOM_STATS)
    heads = {name: Head("float32", shapes[key]) for name, key in naming.names.items()}
    write_checkpoint(path, "safetensors", heads, ((name, weights.tensor(*key)) for name, key in naming.names.items()))
    return payload(shapes)


def import_weights(target: str, checkpoint: Path, folder: Path) -> float:
    from resnetgen.compiler import build
    from resnetgen.job import Options, Target
    from resnetgen.pretrained import Source

    start = time.perf_counter()
    build([SPEC], Options(targets=(Target(target),), output_dir=folder, pretrained=Source(checkpoint)))
    return time.perf_counter() - start


def copy(checkpoint: Path, folder: Path) -> float:
    start = time.perf_counter()
    read, written = hashlib.sha256(), hashlib.sha256()
    with checkpoint.open("rb") as source, (folder / "copy").open("wb") as target:
        while chunk := source.read(_CHUNK):
            read.update(chunk)
            target.write(chunk)
            written.update(chunk)
        target.flush()
        os.fsync(target.fileno())
    return time.perf_counter() - start


def child(what: str, checkpoint: Path) -> None:
    import gc

    gc.disable()  # as cli.run does
    with tempfile.TemporaryDirectory() as folder:
        run = copy(checkpoint, Path(folder)) if what == "copy" else import_weights(what, checkpoint, Path(folder))
    print(run, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure(what: str, checkpoint: Path) -> tuple[float, float]:
    """Seconds, and MiB at the peak."""
    command = [sys.executable, "-m", "benchmarks.weights", "--child", what, str(checkpoint)]
    seconds, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(seconds), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weights", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "resnet152.safetensors"
        subprocess.run(
            [
                sys.executable,
                "-c",
                f"from benchmarks.weights import *; print(make_checkpoint(Path({str(checkpoint)!r})))",
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        size = checkpoint.stat().st_size / 2**20
        print(
            "| ResNet-152's weights to | MiB | seconds | peer's | ratio | MiB at the peak |\n|---|---|---|---|---|---|"
        )
        for target in ("onnx", "caffe"):
            pairs = [(measure(target, checkpoint), measure("copy", checkpoint)) for _ in range(options.runs)]
            ratio = median(mine[0] / peer[0] for mine, peer in pairs)
            mine, peer = (median(pair[i][0] for pair in pairs) for i in (0, 1))
            peak = max(pair[0][1] for pair in pairs)
            print(f"| {target} | {size:.0f} | {mine:.2f} | {peer:.2f} | {ratio:.2f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
