"""What reading back adds

Every build reads its own files back and compares them. Whole processes that build ResNet-50, against the same without.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.figure import Result, compare
from benchmarks.measure import PEERS, TOOL, Bench, duration, in_turn

BUILDS = {
    "ONNX": ["onnx"],
    "ONNX, preprocessing embedded": ["onnx", "--embed-preprocess"],
    "Caffe": ["caffe"],
}


def figures(bench: Bench) -> Iterator[Result]:
    for name, (target, *more) in BUILDS.items():
        commands = (
            [TOOL, "build", "resnet50", "--target", target, *more],
            [sys.executable, str(PEERS / "unread_build.py"), target, *more],
        )
        rounds = in_turn([partial(duration, command) for command in commands], 2 * bench.runs)
        yield compare(f"build ResNet-50, {name}", "the same, not read back", "s", rounds)
