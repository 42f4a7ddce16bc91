"""Compile time

From a spec's text to all that is known before the first weight is drawn, for each node of a network of 50,000 nodes,
against one of 1,000: near 1 where the compiler is linear in the depth. The time is the processor's.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from functools import partial

from benchmarks.figure import Result, compare
from benchmarks.measure import Bench, in_turn

SPEC = "resnet110_cifar"
SMALL, LARGE = 47, 2380
"""Settings of n: 6n + 2 layers, 21n + 9 nodes."""


def figures(bench: Bench, small: int = SMALL, large: int = LARGE) -> Iterator[Result]:
    gc.disable()  # as cli.run does
    for target in ("onnx", "caffe"):
        rounds = in_turn([partial(per_node, target, n) for n in (large, small)], bench.runs)
        yield compare(f"a node of {21 * large + 9:,}, {target}", f"of {21 * small + 9:,}", "µs", rounds, limit=1.3)


def per_node(target: str, n: int) -> float:
    """Microseconds."""
    from resnetgen.build.job import Job
    from resnetgen.build.options import Options
    from resnetgen.network import compile_spec
    from resnetgen.pretrained.weights import Weights
    from resnetgen.progress import Quiet

    start = time.process_time()
    network = compile_spec(SPEC, {"n": n}, max_nodes=100_000)
    Job(network, Weights.random(network), Options(targets=(target,)), Quiet()).plan()
    return 1e6 * (time.process_time() - start) / len(network.graph.nodes)
