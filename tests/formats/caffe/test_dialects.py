"""Caffe's dialects: each is given only what it knows, says the same network, and refuses what it cannot say exactly."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure, Source
from resnetgen.formats.caffe import write
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.lift import lift
from resnetgen.formats.caffe.lower_ops import FixedBlob
from resnetgen.formats.caffe.model.read import parse
from resnetgen.formats.caffe.validate import validate_caffemodel, validate_prototxt
from resnetgen.ir.graph import Graph
from resnetgen.network import compile_spec
from resnetgen.paths import SPECS
from support.helpers import (
    CaffeModel,
    cells,
    compile_text,
    error,
    expected,
    image,
    on_onnxruntime,
    on_opencv,
    random_weights,
    write_caffe,
    write_onnx,
)

PORTABLE = {
    # A row, and the layers that it becomes where a dialect lacks a word of its own.
    "channelconv": ("gap | channelconv", "Pooling Reshape Convolution Reshape"),
    "channelconv kernel=5": ("gap | channelconv kernel=5 | sigmoid", "Pooling Reshape Convolution Reshape Sigmoid"),
    "lrn": ("lrn size=3, alpha=0.1", "LRN"),
    "relu6": ("conv 3x3, 8 | relu6", "Convolution ReLU Power ReLU Power"),
    "silu": ("silu | conv 3x3, 8 | silu", "Sigmoid Eltwise Convolution Sigmoid Eltwise"),
    "mish": ("mish", "BNLL TanH Eltwise"),
    "blurpool": ("blurpool", "Slice Concat Slice Concat Convolution"),
    "blurpool /1x2": ("blurpool /1x2 | relu", "Slice Concat Slice Concat Convolution ReLU"),
    "channelpad": ("channelpad 9, /2", "Convolution"),
    "channelpad both": ("channelpad 9, /2, both", "Convolution"),
    "avgpool same": ("avgpool 2x2, same | relu", "Pooling Crop ReLU"),
    "avgpool 4x3 same": ("avgpool 4x3, same", "Pooling Crop"),
    "avgpool 3x3 same": ("avgpool 3x3, same", "Pooling"),
    "rounded down": ("maxpool 2x2, /2 | relu", "Pooling Slice Silence Slice Silence ReLU"),
    "rounded down, padded": ("avgpool 3x3, /2, p=1 | conv 3x3, 4", "Pooling Slice Silence Slice Silence Convolution"),
    "rounded down, last": ("relu | maxpool 2x2, /2", "ReLU Pooling Slice Silence Slice Silence"),
}
GROUPNORM = {
    Dialect.BVLC: "Convolution Reshape BatchNorm Reshape Scale ReLU",
    Dialect.BVLC_1_0: "Convolution Reshape BatchNorm Reshape Scale ReLU",
    Dialect.OPENCV: "Convolution Reshape MVN Reshape Scale ReLU",
}
NATIVE = {
    # What BVLC's master says in one layer.
    "relu6": "Convolution Clip",
    "silu": "Swish Convolution Swish",
    "rounded down": "Pooling ReLU",
    "rounded down, padded": "Pooling Convolution",
    "rounded down, last": "ReLU Pooling",
}


def types(model: CaffeModel) -> str:
    return " ".join(layer.type for layer in model.plan.net.layers)


def differences(model: CaffeModel) -> list[str]:
    return [
        *validate_prototxt(model.prototxt, model.graph, model.plan),
        *validate_caffemodel(model.caffemodel, model.plan, model.checksums),
    ]


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("case", PORTABLE)
def test_layers_and_what_they_mean(case: str, dialect: Dialect, tmp_path: Path) -> None:
    row, portable = PORTABLE[case]
    if dialect is Dialect.OPENCV:
        portable = portable.replace(" Silence", "")
    net = cells(row, "4x10x12" if "padded" in case else "4x11x9")
    model = write_caffe(net, random_weights(net), tmp_path, dialect=dialect)
    assert types(model) == (NATIVE.get(case, portable) if dialect is Dialect.BVLC else portable)
    assert differences(model) == []


@pytest.mark.parametrize("dialect", Dialect)
def test_groupnorm(dialect: Dialect, tmp_path: Path) -> None:
    net = cells("conv 3x3, 8 | groupnorm 4 | relu")
    for batch in (1, 3):
        model = write_caffe(net, random_weights(net), tmp_path, batch=batch, dialect=dialect)
        assert types(model) == GROUPNORM[dialect]
        assert differences(model) == []


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("row", ["gap | groupnorm 1", "gap | groupnorm 2", "gap | channelconv | groupnorm 1 | relu"])
def test_a_groupnorm_of_one_pixel(row: str, dialect: Dialect, tmp_path: Path) -> None:
    """Its Reshape may be the one that a channelconv begins with."""
    net = cells(row)
    assert differences(write_caffe(net, random_weights(net), tmp_path, dialect=dialect)) == []


@pytest.mark.opencv
@pytest.mark.parametrize("size", ["4x11x9", "4x10x12", "4x2x3"])
@pytest.mark.parametrize("case", [*PORTABLE, "groupnorm"])
def test_opencv_computes_the_definitions(case: str, size: str, tmp_path: Path) -> None:
    """OpenCV as its users call it: with fusion."""
    row = PORTABLE[case][0] if case in PORTABLE else "conv 3x3, 8 | groupnorm 4 | relu"
    net, weights = cells(row, size), random_weights(cells(row, size))
    model = write_caffe(net, weights, tmp_path, dialect=Dialect.OPENCV)
    data = image(net)
    wanted = expected(net, weights, data)
    assert error(on_opencv(model.prototxt, model.caffemodel, data), wanted) < 1e-5
    assert error(on_onnxruntime(write_onnx(net, weights, tmp_path).path, data), wanted) < 1e-5


@pytest.mark.opencv
def test_opencv_tells_paddings_apart(tmp_path: Path) -> None:
    """Negative control: a channelpad that pads on the other side, an average one pixel off, a norm of other groups."""
    for ours, other in (
        ("channelpad 9, /2", "channelpad 9, /2, both"),
        ("avgpool 2x2, same", "avgpool 2x2, p=1 | maxpool 2x2"),
        ("groupnorm 2", "groupnorm 4"),
        ("blurpool", "avgpool 3x3, /2, p=1"),
    ):
        a, b = cells(ours), cells(other)
        model = write_caffe(a, random_weights(a), tmp_path, dialect=Dialect.OPENCV)
        data = image(a)
        assert error(on_opencv(model.prototxt, model.caffemodel, data), expected(b, random_weights(b), data)) > 1e-2


REFUSED = {
    # What a dialect cannot say: its message, and the change or dialect that can.
    ("gelu", Dialect.BVLC): ("bvlc cannot say the gelu s/gelu", "--target onnx --opset 20"),
    ("lrn k=2", Dialect.OPENCV): ("opencv cannot say the lrn s/lrn: computes with k=1", "--dialect bvlc can"),
    ("maxpool 1x1, /2", Dialect.BVLC_1_0): ("bvlc-1.0 cannot say the maxpool s/maxpool", "--dialect bvlc can"),
    ("maxpool 1x1, /2", Dialect.OPENCV): ("it always rounds up, and then the last window", "--dialect bvlc can"),
    ("avgpool 3x3, p=1, exclude_pad", Dialect.BVLC): ("always counts in the mean", "leave out exclude_pad"),
}


@pytest.mark.parametrize(("row", "dialect"), REFUSED)
def test_what_cannot_be_said_exactly_is_refused(row: str, dialect: Dialect) -> None:
    net = cells(row, "4x10x12")
    with pytest.raises(Failure) as caught:
        write.plan(net, None, 1, True, dialect)
    (problem,) = caught.value.problems
    message, hint = REFUSED[row, dialect]
    assert message in problem.message
    assert hint in problem.hint
    assert problem.span
    assert problem.span.short == "net.yaml:4"
    assert exit_code(caught.value) is Exit.SPEC


@pytest.mark.parametrize(
    "cells",
    ["two()", "gap | flatten | silu | norm", "fc 3 | mish | norm"],
)
def test_opencv_merges_no_norm_with_vectors(cells: str) -> None:
    net = compile_text(f"""
use: std
name: tiny
input: 4x5x5
blocks: {{two: {{branches: {{a: "gap | flatten", b: "gap | flatten | sigmoid"}}, merge: add, after: norm}}}}
stages: {{s: {cells}}}
""")
    write.plan(net, None, 1, True, Dialect.BVLC)
    with pytest.raises(Failure, match="merges a norm wrongly"):
        write.plan(net, None, 1, True, Dialect.OPENCV)


# What the reader must not take for something else


def changed(text: str, old: str, new: str, count: int = 1) -> str:
    assert old in text
    return text.replace(old, new, count)


CHANGES = {
    "another pixel is reflected": ("blurpool", 'bottom: "s/blurpool/rows1"', 'bottom: "s/blurpool"'),
    "a blur that is trained": ("blurpool", "lr_mult: 0", "lr_mult: 1"),
    "a blur of another stride": ("blurpool", "stride: 2", "stride: 1"),
    "cut one row further": ("maxpool 2x2, /2 | relu", "slice_point: 5", "slice_point: 4"),
    "cropped elsewhere": ("avgpool 2x2, same | relu", "offset: 1", "offset: 0"),
    "cropped after a stride": ("avgpool 2x2, same | relu", "stride: 1", "stride: 2"),
    "cut from a global pooling": ("maxpool 2x2, /2 | relu", "pool: MAX", "pool: AVE global_pooling: true"),
    "cut along the other axis": ("maxpool 2x2, /2 | relu", "axis: 2", "axis: 3"),
    "groups of one image": ("groupnorm 2", "dim: 1", "dim: 0"),
    "another image": ("groupnorm 2", "dim: 4", "dim: 2"),
    "columns for rows": ("blurpool", "axis: 3", "axis: 2"),
    "turned at 7": ("relu6", "shift: 6.0", "shift: 7.0"),
    "turned by half": ("relu6", "scale: -1.0", "scale: -0.5"),
    "groups of others": ("groupnorm 2", "dim: 2", "dim: 4"),
    "a norm of stored statistics": ("groupnorm 2", "use_global_stats: false", "use_global_stats: true"),
    "a longer kernel": ("gap | channelconv", "kernel_h: 3", "kernel_h: 5"),
    "another axis": ("gap | channelconv", "dim: -1", "dim: 4"),
    "another k": ("lrn", "local_size: 5", "local_size: 3"),
    "a sum for a product": ("mish", "operation: PROD", "operation: SUM"),
    "what is left is read": ("maxpool 2x2, /2 | relu", 'bottom: "s/maxpool/2"', 'bottom: "s/maxpool/2/rest"'),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changes_are_noticed(case: str, tmp_path: Path) -> None:
    row, old, new = CHANGES[case]
    net = cells(row, "4x11x11")
    model = write_caffe(net, random_weights(net), tmp_path, dialect=Dialect.BVLC_1_0)
    model.prototxt.write_text(changed(model.prototxt.read_text(), old, new))
    found = validate_prototxt(model.prototxt, net, model.plan)
    assert found
    assert found != ["the file says something else than was planned"]


@pytest.mark.parametrize("row", ["channelpad 9, /2", "channelpad 9, /2, both", "blurpool", "groupnorm 2", "batchnorm"])
def test_a_mistaken_fixed_blob_is_noticed(row: str, tmp_path: Path) -> None:
    """The validator computes for itself what stands in a fixed convolution."""
    net = cells(row, "4x11x11")
    planned = write.plan(net, None, 1, True, Dialect.BVLC_1_0)
    path = tmp_path / "planned.caffemodel"
    assert validate_caffemodel(path, planned, write.write_caffemodel(planned, random_weights(net), path)) == []

    def turned(blob: Any) -> Any:
        return (
            replace(blob, fill=lambda shape: blob.fill(shape) + np.float32(0.5))
            if isinstance(blob, FixedBlob)
            else blob
        )

    layers = tuple(replace(one, blobs=tuple(map(turned, one.blobs))) for one in planned.net.layers)
    mistaken = replace(planned, net=replace(planned.net, layers=layers))
    path = tmp_path / "mistaken.caffemodel"
    assert validate_caffemodel(path, planned, write.write_caffemodel(mistaken, random_weights(net), path))


def test_half_said_is_an_error() -> None:
    graph = cells("gap | channelconv | mish")
    text = write.plan(graph, None, 1, True).text
    layers = text.split("layer {")
    for last in range(2, len(layers) + 1):
        net = parse(Source("net.prototxt", "layer {".join(layers[:last])))
        if net.layers[-1].name in ("s/gap", "s/channelconv/3", "s/mish/3"):
            assert lift(net).graph.nodes[-1].name == net.layers[-1].name
            continue
        with pytest.raises(Failure, match=r"unsupported layer: .*: only as part of an op of several layers"):
            lift(net)


# The bundled specs


def small(name: str) -> Graph:
    """A bundled network for a small image; for its own, where its head has no room in a smaller one."""
    own = compile_spec(name).graph
    channels, height, _ = own.shapes["data"]
    for extent in (33, 64, 96):
        if extent < height:
            with contextlib.suppress(Failure):
                return compile_spec(name, input_size=f"{channels}x{extent}x{extent}").graph
    return own


BUNDLED = sorted(path.relative_to(SPECS).with_suffix("").as_posix() for path in SPECS.rglob("*.yaml"))


@pytest.mark.zoo
@pytest.mark.opencv
@pytest.mark.parametrize("name", BUNDLED)
def test_opencv_equals_onnxruntime(name: str, tmp_path: Path) -> None:
    """Every bundled spec that the dialect accepts; the largest are left to those of the same blocks."""
    net = small(name)
    if net.parameter_count > 100_000_000 or len(net.nodes) > 1500:
        pytest.skip("too large for this test; a smaller network has the same blocks")
    weights = random_weights(net)
    model = write_caffe(net, weights, tmp_path, dialect=Dialect.OPENCV)
    data = image(net)
    found = on_opencv(model.prototxt, model.caffemodel, data)
    wanted = on_onnxruntime(write_onnx(net, weights, tmp_path, fold=True).path, data)
    assert error(found.reshape(wanted.shape), wanted) < 1e-4
    for path in tmp_path.iterdir():
        path.unlink()
