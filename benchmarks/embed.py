"""Latency of a model that takes bytes against the same that takes floats: python -m benchmarks.embed [SPEC].

The two run in turn; the plain model against itself shows what the machine's noise is. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.sessions import Model, in_turn, medians, ratio
from resnetgen.compiler import build
from resnetgen.job import Options


def model(spec: str, folder: Path, embed: bool) -> Model:
    (built,) = build([spec], Options(output_dir=folder, embed_preprocess=embed))
    return Model(next(path for path in built.files if path.suffix == ".onnx"), threads=2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embed", description=__doc__.splitlines()[0])
    parser.add_argument("spec", nargs="?", default="torchvision/resnet50")
    parser.add_argument("--rounds", type=int, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        plain, bytes_ = model(options.spec, Path(a), False), model(options.spec, Path(b), True)
        rounds = in_turn([plain, bytes_, plain], options.rounds)
    first, embedded, again = medians(rounds)
    print("| model | floats, ms | bytes, ms | ratio | floats again, ms | ratio |\n|---|---|---|---|---|---|")
    print(
        f"| {options.spec} | {first:.1f} | {embedded:.1f} | {ratio(rounds, 1, 0):.3f} "
        f"| {again:.1f} | {ratio(rounds, 2, 0):.3f} |"
    )


if __name__ == "__main__":
    main()
