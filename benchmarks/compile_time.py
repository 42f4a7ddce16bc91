"""Compile time per node at 1,000 and at 20,000 nodes: python -m benchmarks.compile_time.

Prints a Markdown table. The last column must not exceed 1.3: a compiler that is linear in the network's depth.
"""

from __future__ import annotations

import argparse
import gc
import time
from statistics import median

from resnetgen.compiler import compile_spec
from resnetgen.job import Job, Options, Quiet, Target

SPEC = "resnet110_cifar"
SMALL, LARGE = 47, 950
"""Settings of n: 6n + 2 layers, 21n + 9 nodes."""


def plan(target: Target, n: int) -> int:
    """From the spec's text to all that is known before the first weight is drawn; the number of nodes."""
    compiled = compile_spec(SPEC, {"n": n})
    Job(compiled, Options(targets=(target,), weights=target is Target.ONNX), Quiet()).plan()
    return len(compiled.graph.nodes)


def per_node(target: Target, n: int) -> float:
    """Microseconds of the processor: what runs beside this does not count."""
    start = time.process_time()
    nodes = plan(target, n)
    return (time.process_time() - start) / nodes * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile_time", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    gc.disable()  # as cli.run does
    print("| target | nodes | us a node | nodes | us a node | ratio |\n|---|---|---|---|---|---|")
    for target in (Target.ONNX, Target.CAFFE):
        few, many = (plan(target, n) for n in (SMALL, LARGE))  # the first run imports
        pairs = [[per_node(target, n) for n in (SMALL, LARGE)] for _ in range(runs)]
        ratio = median(b / a for a, b in pairs)
        small, large = (median(pair[i] for pair in pairs) for i in (0, 1))
        print(f"| {target} | {few:,} | {small:.1f} | {many:,} | {large:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
