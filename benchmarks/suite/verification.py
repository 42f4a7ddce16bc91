"""Verification

`resnetgen verify resnet50` against a script that runs the same file on ONNX Runtime and on onnx's reference evaluator
and compares the outputs. Ours draws the weights anew, leaves the norms unfolded and compares every tensor inside too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.figure import Result, compare
from benchmarks.measure import PEERS, TOOL, Bench, duration, in_turn


def figures(bench: Bench) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([TOOL, "build", "resnet50", "--output-dir", folder], check=True, stdout=subprocess.DEVNULL)
        (model,) = Path(folder).rglob("*.onnx")
        commands = (
            [TOOL, "verify", "resnet50", "--output-dir", folder],
            [sys.executable, str(PEERS / "plain_verify.py"), str(model)],
        )
        rounds = in_turn([partial(duration, command) for command in commands], bench.runs)
    yield compare("verify ResNet-50", "a script that runs both engines", "s", rounds)
