"""A cold build

A process in an empty folder that writes ResNet-50's ONNX, 97 MiB of weights drawn anew. Ours reads it back as well.
PyTorch's exporters take torchvision's resnet50, whose weights are drawn as well; the script, which is
`benchmarks/peers/onnx_helper.py`, makes the same nodes. The peak's limit is 1.4 times the payload and 64 MiB.

The weights are not drawn alike. Each of ours is one of 65,536 values, the quantiles of the normal distribution; the
peers draw exact normals, which takes numpy five times as long.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.figure import Result, compare
from benchmarks.measure import PEERS, TOOL, Bench, apart, columns, in_turn, lacking, process

TORCH = ("torch", "torchvision", "onnx")


def figures(bench: Bench) -> Iterator[Result]:
    export = [bench.peer_python, str(PEERS / "torch_export.py"), "resnet50"]
    peers = [
        ("an onnx.helper script", [sys.executable, str(PEERS / "onnx_helper.py")], 1 / 1.7, ("onnx",)),
        ("torch.onnx.export(dynamo=False)", export, 1 / 10, TORCH),
        ("torch.onnx.export(dynamo=True)", [*export, "dynamo"], 1 / 20, (*TORCH, "onnxscript")),
    ]
    skipped = {name: lacking(name, command[0], *modules) for name, command, _, modules in peers}
    yield from filter(None, skipped.values())
    there = [peer for peer in peers if not skipped[peer[0]]]
    commands = [[TOOL, "build", "resnet50", "--target", "onnx"], *(command for _, command, _, _ in there)]
    rounds = in_turn([partial(process, command) for command in commands], bench.runs)
    mine, *theirs = columns(rounds)
    for (name, _, limit, _), costs in zip(there, theirs, strict=True):
        pairs = ((a.seconds, b.seconds) for a, b in zip(mine, costs, strict=True))
        yield compare("build ResNet-50", name, "s", pairs, limit)
    size = apart(payload)
    yield compare("its peak memory", "the payload", "MiB", ((cost.peak, size) for cost in mine), 1.4 + 64 / size)


def payload() -> float:
    """MiB of the weights that are written."""
    from resnetgen.network import compile_spec
    from resnetgen.passes.pipeline import run_passes
    from resnetgen.weights import draw
    from resnetgen.weights.initialise import Initialised

    graph = compile_spec("resnet50").graph
    folded, _ = run_passes(graph, Initialised(graph))
    return draw.payload(draw.keys(folded)) / 2**20
