"""Random specs on every engine: ONNX Runtime, onnx's reference evaluator and OpenCV, folded and unfolded.

`pytest -m differential` takes a hundred, `DIFFERENTIAL=2000 pytest -m differential` as many as are asked for. A spec on
which two engines differ is shrunk to the smallest that hypothesis finds, and printed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from resnetgen.errors import Code, Failure
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.validate import validate_caffemodel, validate_prototxt
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import Conv, MaxPool, Relu6
from resnetgen.weights.source import Array, WeightSource
from support.helpers import (
    Changed,
    Float64,
    cells,
    error,
    evaluate,
    expected,
    image,
    on_onnxruntime,
    on_opencv,
    on_reference_evaluator,
    random_weights,
    write_caffe,
    write_onnx,
)
from support.strategies import Files, networks

TOLERANCE = 1e-4
"""Of the largest output."""
EXAMPLES = int(os.environ.get("DIFFERENTIAL", "100"))
OPSETS = (21, 17, 13, 11, 9)
NEWEST = 21
BATCH = 2


Values: TypeAlias = dict[str, Float64]
"""Node -> what it is by the definitions."""


@dataclass(frozen=True)
class Fault:
    """Of an engine: a network that it is known to compute wrongly, and is not asked for."""

    engine: str
    reason: str
    met: Callable[[Graph, Values], bool]


FAULTS = (
    Fault(
        "reference",
        "onnx 1.23: with stride 1 a max pooling takes the padding of one axis for that of the other"
        " (tests/formats/test_engines.py, test_reference_evaluator_s_max_pooling)",
        lambda net, values: any(
            isinstance(node.op, MaxPool) and node.op.stride == (1, 1) and node.op.pad[0] != node.op.pad[1]
            for node in net.nodes
        ),
    ),
    Fault(
        "opencv",
        "OpenCV 4.14: a depthwise 3x3 convolution of a single row or column reads what lies beside it in memory"
        " (test_opencv_s_depthwise_convolution_of_a_line)",
        lambda net, values: any(isinstance(node.op, Conv) and depthwise_line(net, node) for node in net.nodes),
    ),
    Fault(
        "opencv",
        "its dialect says relu6 as 6 - max(6 - x, 0), rounded as 6 is: too coarse where all of x is below 0.05",
        lambda net, values: any(
            isinstance(node.op, Relu6) and np.abs(values[node.inputs[0]]).max() < 0.05 for node in net.nodes
        ),
    ),
)


def depthwise_line(net: Graph, node: Node) -> bool:
    op, (shape, *_) = node.op, net.input_shapes(node)
    assert isinstance(op, Conv)
    depthwise = op.kernel == (3, 3) and op.groups == op.out_channels == shape[0] > 1
    return depthwise and op.dilation == (1, 1) and min(shape[1:]) == 1


def excused(engine: str, net: Graph, values: Values) -> bool:
    return any(fault.engine == engine and fault.met(net, values) for fault in FAULTS)


def outputs(net: Graph, weights: WeightSource, data: Array, opset: int, folder: Path) -> Iterator[tuple[str, Array]]:
    """What each engine that can say the network computes of it, and what the definitions are."""
    values = evaluate(net, weights, data)
    yield "definitions", values[net.output.name].astype(np.float32)
    for fold in (False, True):
        how = "folded" if fold else "unfolded"
        model = write_onnx(net, weights, folder, OnnxOptions(opset=opset), fold=fold)
        same(validate(model.path, model.graph, model.plan, model.options, model.checksums))
        yield f"ONNX Runtime, opset {opset}, {how}", on_onnxruntime(model.path, data)
        if not excused("reference", net, values):
            yield f"reference evaluator, opset {opset}, {how}", on_reference_evaluator(model.path, data)
        try:
            caffe = write_caffe(net, weights, folder, fold=fold, batch=BATCH, dialect=Dialect.OPENCV)
        except Failure as failure:
            event(f"refused by OpenCV's dialect: {refused(failure).rpartition(': ')[2]}")
            continue
        same(validate_prototxt(caffe.prototxt, caffe.graph, caffe.plan))
        same(validate_caffemodel(caffe.caffemodel, caffe.plan, caffe.checksums))
        if find_spec("cv2") and not excused("opencv", net, values):
            yield f"OpenCV, {how}", on_opencv(caffe.prototxt, caffe.caffemodel, data)


def refused(failure: Failure) -> str:
    """Why a target cannot say a network; nothing else may come of one that network."""
    (problem,) = failure.problems
    assert problem.code is Code.UNSUPPORTED, failure
    return problem.message


def same(differences: list[str]) -> None:
    """A file that is read back is what was planned."""
    assert not differences, differences


def sayable(net: Graph, opset: int) -> int:
    """The opset, or the newest where ONNX cannot say the network in it."""
    with TemporaryDirectory() as folder:
        try:
            write_onnx(net, random_weights(net), Path(folder), OnnxOptions(opset=opset))
        except Failure as failure:
            refused(failure)
            return NEWEST
    return opset


@dataclass(frozen=True)
class Nudged:
    """Weights of which each value is a millionth larger or smaller."""

    weights: WeightSource

    def tensor(self, node: str, parameter: str) -> Array:
        return nudged(self.weights.tensor(node, parameter))


def nudged(values: Array) -> Array:
    return (values * (1 + np.random.default_rng(3).choice((-1e-6, 1e-6), values.shape))).astype(np.float32)


def amplification(net: Graph, weights: WeightSource, data: Array) -> float:
    """How many times further the definitions are moved, of their largest output, than their input and their weights.

    What a ReLU leaves of a large sum may be its rounding: then no two engines agree, and none is wrong.
    """
    return error(expected(net, Nudged(weights), nudged(data)), expected(net, weights, data)) / 1e-6


def agree(net: Graph, opset: int, weights: WeightSource | None = None) -> None:
    """Raises AssertionError that names the two that are furthest apart."""
    data = image(net, batch=BATCH)
    weights = weights or random_weights(net)
    with TemporaryDirectory() as folder:
        found = dict(outputs(net, weights, data, sayable(net, opset), Path(folder)))
    if not np.isfinite(found["definitions"]).all():
        event("left out: by the definitions it is not finite")
        return
    if amplification(net, weights, data) > 100:
        event("left out: it makes more of a rounding than correct engines can agree on")
        return
    apart = {(a, b): error(found[a], found[b]) for a, b in itertools.combinations(found, 2)}
    worst = max(apart, key=lambda pair: (np.isnan(apart[pair]), apart[pair]))
    assert apart[worst] < TOLERANCE, f"{worst[0]} and {worst[1]} differ by {apart[worst]:.1e} of the largest output"


@pytest.mark.differential
@pytest.mark.opencv
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(networks(), st.sampled_from(OPSETS))
def test_engines_agree(files: Files, opset: int) -> None:
    with TemporaryDirectory() as folder:
        net = files.compile(Path(folder))
    for node in net.nodes:
        note(f"{node.name} = {node.op} {' '.join(node.inputs)} -> {net.shapes[node.name]}")
    agree(net, opset)


# Controls


def test_a_difference_is_found() -> None:
    """An engine that is given a norm of another mean."""
    net = cells("conv 3x3, 6 | batchnorm | relu")
    weights, data = random_weights(net), image(net, batch=BATCH)
    other = Changed(weights, {("s/batchnorm", "mean"): weights.tensor("s/batchnorm", "mean") + np.float32(0.01)})
    with TemporaryDirectory() as folder:
        found = dict(outputs(net, weights, data, 17, Path(folder)))
        wrong = dict(outputs(net, other, data, 17, Path(folder)))
    assert all(error(found[side], found["definitions"]) < TOLERANCE < error(wrong[side], found[side]) for side in found)


@pytest.mark.opencv
@pytest.mark.parametrize(("size", "line"), [("4x1x8", True), ("4x8x1", True), ("4x2x8", False), ("4x8x2", False)])
def test_opencv_s_depthwise_convolution_of_a_line(size: str, line: bool, tmp_path: Path) -> None:
    """What OpenCV 4.14 gives for a line depends on the memory beside it, so that only the others can be held to."""
    net = cells("conv 3x3, 4, C=4", size)
    weights, data = random_weights(net), image(net)
    assert excused("opencv", net, evaluate(net, weights, data)) is line
    model = write_caffe(net, weights, tmp_path, dialect=Dialect.OPENCV)
    found = on_opencv(model.prototxt, model.caffemodel, data)
    assert line or error(found, expected(net, weights, data)) < TOLERANCE
