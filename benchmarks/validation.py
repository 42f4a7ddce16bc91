"""What reading a build back adds to it: python -m benchmarks.validation. Prints a Markdown table.

Whole processes that build ResNet-50, in turn with and without translation validation.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

SKIPPED = {
    "onnx": ["resnetgen.targets.onnx.validate.validate"],
    "caffe": [f"resnetgen.targets.caffe.validate.validate_{what}" for what in ("prototxt", "caffemodel")],
}


def child(target: str, embed: bool, validated: bool) -> None:
    from resnetgen.compiler import build
    from resnetgen.job import Options, Target

    gc.disable()  # as cli.run does
    for name in () if validated else SKIPPED[target]:
        patch(name, lambda *_: []).start()
    with tempfile.TemporaryDirectory() as folder:
        build(["resnet50"], Options(targets=(Target(target),), output_dir=Path(folder), embed_preprocess=embed))


def seconds(target: str, embed: bool, validated: bool) -> float:
    words = [target, *["embed"] * embed, *["validated"] * validated]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "benchmarks.validation", "--child", *words], check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        target, *words = options.child
        child(target, "embed" in words, "validated" in words)
        return
    print("| build of ResNet-50 | validated, s | not, s | added |\n|---|---|---|---|")
    for target, embed in (("onnx", False), ("onnx", True), ("caffe", False)):
        pairs = [(seconds(target, embed, True), seconds(target, embed, False)) for _ in range(options.runs)]
        added = median(a / b - 1 for a, b in pairs)
        validated, bare = (median(pair[i] for pair in pairs) for i in (0, 1))
        name = f"{target}, preprocessing embedded" if embed else target
        print(f"| {name} | {validated:.3f} | {bare:.3f} | {100 * added:.0f} % |")


if __name__ == "__main__":
    main()
