"""Prototxt

ResNet-152's layers as text, from the template, against protobuf's text_format on the same message. Both know what they
print before; both texts mean the same.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

from benchmarks.figure import Result, compare
from benchmarks.measure import Bench, in_turn, stopwatch


def figures(bench: Bench) -> Iterator[Result]:
    from google.protobuf import text_format

    from resnetgen.formats.caffe.write import plan, render
    from resnetgen.network import compile_spec

    gc.disable()  # as cli.run does
    network = compile_spec("resnet152")
    planned = plan(network.graph, network.names, batch=None, with_weights=False)
    message = planned.message
    assert text_format.Parse(render(planned.net), type(message)()) == message

    def ours() -> float:
        with stopwatch() as seconds:
            render(planned.net)
        return 1000 * seconds()

    def protobufs() -> float:
        with stopwatch() as seconds:
            text_format.MessageToString(message)
        return 1000 * seconds()

    rounds = in_turn([ours, protobufs], 3 * bench.runs)
    yield compare("ResNet-152's prototxt", "google.protobuf.text_format", "ms", rounds)
