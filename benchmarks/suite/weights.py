"""Weights that come in

ResNet-152's, from a .safetensors file. The peer reads and hashes that file, and writes, hashes and syncs a copy of it,
as a script would. Each run is a process of its own, which is timed once its modules are imported.
"""

from __future__ import annotations

import gc
import hashlib
import os
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.figure import Result, compare
from benchmarks.measure import Bench, Cost, apart, columns, in_turn, peak, stopwatch

SPEC = "torchvision/resnet152"
CHUNK = 1 << 20


def figures(bench: Bench) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "resnet152.safetensors"
        apart(make_checkpoint, checkpoint)
        size = checkpoint.stat().st_size / 2**20
        runners = [partial(apart, import_weights, target, checkpoint) for target in ("onnx", "caffe")]
        rounds = in_turn([*runners, partial(apart, copy, checkpoint)], bench.runs)
    *ours, theirs = columns(rounds)
    for target, mine in zip(("ONNX", "Caffe"), ours, strict=True):
        pairs = ((a.seconds, b.seconds) for a, b in zip(mine, theirs, strict=True))
        yield compare(f"import ResNet-152's weights, {target}", "copying the file", "s", pairs)
        yield compare("its peak memory", "the file", "MiB", ((cost.peak, size) for cost in mine))


def make_checkpoint(path: Path) -> None:
    """A safetensors file of random weights by torchvision's names."""
    from resnetgen.network import compile_spec
    from resnetgen.pretrained.pretrained import weight_namings
    from resnetgen.weights.checkpoint import Head, write_checkpoint
    from resnetgen.weights.draw import keys
    from resnetgen.weights.initialise import Init, Initialised

    network = compile_spec(SPEC)
    naming = next(one for one in weight_namings(network.spec, network.graph) if one.convention == "torchvision")
    shapes, weights = keys(network.graph), Initialised(network.graph, 0, Init.RANDOM_STATS)
    heads = {name: Head("float32", shapes[key]) for name, key in naming.names.items()}
    write_checkpoint(path, "safetensors", heads, ((name, weights.tensor(*key)) for name, key in naming.names.items()))


def import_weights(target: str, checkpoint: Path) -> Cost:
    from resnetgen.build.options import Options
    from resnetgen.build.run import build
    from resnetgen.pretrained.pretrained import CheckpointSource

    gc.disable()  # as cli.run does
    with tempfile.TemporaryDirectory() as folder:
        options = Options(targets=(target,), output_dir=Path(folder), pretrained=CheckpointSource(checkpoint))
        with stopwatch() as seconds:
            build([SPEC], options)
    return Cost(seconds(), peak())


def copy(checkpoint: Path) -> Cost:
    with (
        tempfile.TemporaryDirectory() as folder,
        stopwatch() as seconds,
        checkpoint.open("rb") as source,
        (Path(folder) / "copy").open("wb") as target,
    ):
        read, written = hashlib.sha256(), hashlib.sha256()
        while chunk := source.read(CHUNK):
            read.update(chunk)
            target.write(chunk)
            written.update(chunk)
        target.flush()
        os.fsync(target.fileno())
    return Cost(seconds(), peak())
