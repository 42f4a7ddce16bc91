"""What reading a build back adds to it: python -m benchmarks.validation. Prints a Markdown table.

Builds of ResNet-50 in this process, in turn with and without translation validation.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from unittest.mock import patch

from resnetgen.compiler import build
from resnetgen.job import Options, Target

SKIPPED = {
    Target.ONNX: ["resnetgen.targets.onnx.validate.validate"],
    Target.CAFFE: [f"resnetgen.targets.caffe.validate.validate_{what}" for what in ("prototxt", "caffemodel")],
}


def seconds(target: Target, embed: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        build(["resnet50"], Options(targets=(target,), output_dir=Path(folder), embed_preprocess=embed))
        return time.perf_counter() - start


def without(target: Target, run: Callable[[], float]) -> float:
    patches = [patch(name, lambda *_: []) for name in SKIPPED[target]]
    for one in patches:
        one.start()
    try:
        return run()
    finally:
        patch.stopall()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    gc.disable()  # as cli.run does
    print("| build of ResNet-50 | validated, s | not, s | added |\n|---|---|---|---|")
    for target, embed in ((Target.ONNX, False), (Target.ONNX, True), (Target.CAFFE, False)):

        def run(target: Target = target, embed: bool = embed) -> float:
            return seconds(target, embed)

        run()  # the first imports
        pairs = [(run(), without(target, run)) for _ in range(runs)]
        added = median(a / b - 1 for a, b in pairs)
        validated, bare = (median(pair[i] for pair in pairs) for i in (0, 1))
        name = f"{target}, preprocessing embedded" if embed else str(target)
        print(f"| {name} | {validated:.3f} | {bare:.3f} | {100 * added:.0f} % |")


if __name__ == "__main__":
    main()
