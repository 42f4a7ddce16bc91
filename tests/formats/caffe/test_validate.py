"""Translation validation of Caffe files: every change of a prototxt, a caffemodel or the emitter is noticed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure, Source
from resnetgen.formats.caffe.lift import LiftedNet, lift
from resnetgen.formats.caffe.lower_ops import LayerPlan
from resnetgen.formats.caffe.model.read import parse
from resnetgen.formats.caffe.validate import validate_caffemodel, validate_prototxt
from resnetgen.formats.caffe.write import write_caffemodel
from resnetgen.ir.graph import Graph, Node
from support.helpers import (
    CaffeModel,
    random_weights,
)
from support.translation import PLANNED, beside, net_parameter

PROTOTXT_CHANGES = [
    ("kernel_size: 3", "kernel_size: 1"),
    ("pad: 1", "pad: 0"),
    ("stride: 1", "stride: 2"),
    ("num_output: 2", "num_output: 3"),
    ("bias_term: false", "bias_term: true"),
    ("bias_term: false", "group: 2 bias_term: false"),
    ("bias_term: false", "dilation: 2 bias_term: false"),
    ("use_global_stats: true", "use_global_stats: false"),
    ("use_global_stats: true", "use_global_stats: true eps: 0.001"),
    ("bias_term: true", "bias_term: false"),
    ("bias_term: true", "axis: 2 bias_term: true"),
    ("pool: MAX", "pool: AVE"),
    ("pool: MAX", "pool: MAX round_mode: FLOOR"),
    ("pool: MAX", "pool: STOCHASTIC"),
    ("global_pooling: true", "global_pooling: false"),
    ('type: "ReLU"', 'type: "Sigmoid"'),
    ('type: "ReLU"', 'type: "ReLU" relu_param { negative_slope: 0.1 }'),
    ('type: "Eltwise"', 'type: "Eltwise" eltwise_param { operation: PROD }'),
    ('type: "Eltwise"', 'type: "Eltwise" eltwise_param { operation: MAX }'),
    ('type: "Eltwise"', 'type: "Eltwise" eltwise_param { coeff: 1 coeff: -1 }'),
    ('type: "Concat"', 'type: "Concat" concat_param { axis: 2 }'),
    ('type: "Softmax"', 'type: "Softmax" softmax_param { axis: 2 }'),
    ('type: "Flatten"', 'type: "Flatten" flatten_param { axis: 2 }'),
    ("axis: 0", "axis: 1"),
    ('top: "c/fc2"', 'top: "c/fc3"'),
    ('name: "tiny"', 'name: "other"'),
    ('name: "a/relu"', 'name: "a/rely"'),
    ('name: "a/relu"', 'name: "a/conv"'),
    ('bottom: "b/0/main/conv2"', 'bottom: "a/maxpool"'),
    ('bottom: "a/maxpool"', 'bottom: "nothing"'),
    ('bottom: "a/maxpool"', ""),
    ('top: "a/conv"', 'top: "a/conv" top: "more"'),
    ("input_dim: 8", "input_dim: 9"),
    ("input_dim: 1", "input_dim: 2"),
    ("input_dim: 1", ""),
    ('input: "data"', 'input: "image"'),
    ('input: "data"', ""),
    ("layer {", "layer { nonsense: 1"),
    ("layer {", "layer"),
    ("kernel_size: 3", "kernel_size: three"),
]
PROTOTXT_WORDS = [
    ('name: "a/batchnorm"', 'name: "a/norm"'),  # the first of a norm's two layers; the second names the node
    ('type: "ReLU"', 'type: "ReLU" propagate_down: false'),
    ('type: "ReLU"', 'type: "ReLU" include { phase: TRAIN }'),
]


@pytest.mark.parametrize(("old", "new"), PROTOTXT_CHANGES + PROTOTXT_WORDS)
def test_changed_prototxt_is_noticed(old: str, new: str, caffe: CaffeModel) -> None:
    text = caffe.prototxt.read_text()
    assert old in text
    changed = beside(caffe.prototxt, text.replace(old, new, 1).encode())
    found = validate_prototxt(changed, caffe.graph, caffe.plan)
    assert found
    if (old, new) in PROTOTXT_CHANGES:
        assert found != [PLANNED]


HEAD = 'name: "net" input: "data" input_dim: 1 input_dim: 4 input_dim: 8 input_dim: 8 '
GATE = 'layer { name: "g" type: "Pooling" bottom: "data" top: "g" pooling_param { pool: AVE global_pooling: true } } '
FLAT = 'layer { name: "f" type: "Flatten" bottom: "g" top: "f" } '
NORM = 'layer { name: "n" type: "BatchNorm" bottom: "data" top: "n" batch_norm_param { use_global_stats: true } } '


RELUS = (
    'layer { name: "q" type: "ReLU" bottom: "r_0" top: "q" } '
    'layer { name: "e" type: "Eltwise" bottom: "r_1" bottom: "q" top: "e" }'
)
SPLIT = (
    'layer { name: "r" type: "ReLU" bottom: "data" top: "r" } '
    'layer { name: "s" type: "Split" bottom: "r" top: "r_0" top: "r_1" } '
)
SHARED = "".join(
    f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" param {{ name: "w" }}'
    " convolution_param { num_output: 4 kernel_size: 1 bias_term: false } } "
    for name, bottom in (("a", "data"), ("b", "a"))
)


def scale(*bottoms: str, param: str = "", top: str = "s", name: str = "s") -> str:
    reads = " ".join(f'bottom: "{blob}"' for blob in bottoms)
    return f'layer {{ name: "{name}" type: "Scale" {reads} top: "{top}" scale_param {{ {param} }} }} '


FOREIGN_CAFFE = [
    # A prototxt, and the nodes that it means or the message of its refusal.
    (NORM + scale("n", param="bias_term: true"), "s=batchnorm(data)"),
    (NORM + scale("n", param="bias_term: true", top="n"), "s=batchnorm(data)"),
    (NORM + scale("n"), "s=batchnorm(data) without beta"),
    (NORM, "n=batchnorm(data) without gamma beta"),
    (NORM.replace("use_global_stats: true", ""), "n=batchnorm(data) without gamma beta"),
    (NORM.replace("use_global_stats: true", "use_global_stats: false"), "it uses the statistics of its batch"),
    (
        NORM + 'layer { name: "r" type: "ReLU" bottom: "n" top: "r" } ' + scale("n", param="bias_term: true"),
        "n=batchnorm(data) without gamma beta r=relu(n) s=batchnorm(data)",
    ),
    (scale("data", param="bias_term: true"), "it is neither part of a norm nor a gate"),
    (GATE + FLAT + scale("data", "f", param="axis: 0"), "g=gap(data) s=mul(data g)"),
    (GATE + scale("data", "g", param="axis: 0"), "it is neither part of a norm nor a gate"),
    (GATE + FLAT + scale("data", "f", param="axis: 0 bias_term: true"), "it is neither part of a norm nor a gate"),
    (
        GATE + FLAT + scale("data", "f", param="axis: 0") + scale("s", "f", param="axis: 0", name="t"),
        "g=gap(data) s=mul(data g) t=mul(s g)",
    ),
    (GATE + GATE.replace('bottom: "data"', 'bottom: "g"'), "two layers are called g"),
    ('layer { name: "data" type: "ReLU" bottom: "data" top: "r" }', "two layers are called data"),
    ('layer { name: "r" type: "ReLU" bottom: "data" top: "data" } ', "r=relu(data)"),
    ('layer { name: "r" type: "ReLU" bottom: "data" top: "a" top: "b" } ', "1 bottoms and 2 tops"),
    ('layer { name: "r" type: "ReLU" top: "a" } ', "0 bottoms and 1 tops"),
    ('layer { name: "r" type: "ReLU" bottom: "x" top: "a" } ', "reads x, which nothing before it writes"),
    ('layer { name: "r" type: "PReLU" bottom: "data" top: "a" } ', "unsupported layer: PReLU r"),
    ('layer { name: "p" type: "Pooling" bottom: "data" top: "p" } ', "the kernel is 0"),
    ('layer { name: "r" type: "ReLU" bottom: "data" top: "r" relu_param { leak: 1 } } ', "its field relu_param.leak"),
    ('force: 3 layer { name: "r" type: "ReLU" bottom: "data" top: "r" } ', "unsupported field: force"),
    (SPLIT + RELUS, "r=relu(data) q=relu(r) e=add(r q)"),
    (SHARED, "it shares the blob w with another layer"),
]


@pytest.mark.parametrize(("text", "meaning"), FOREIGN_CAFFE, ids=[meaning for _, meaning in FOREIGN_CAFFE])
def test_what_layers_mean(text: str, meaning: str) -> None:
    def nodes() -> str:
        lifted = lift(parse(Source("net.prototxt", HEAD + text)))
        return " ".join(_shown(node, lifted) for node in lifted.graph.nodes[1:])

    if "=" in meaning:
        assert nodes() == meaning
        return
    with pytest.raises(Failure, match=re.escape(meaning)) as caught:
        nodes()
    assert exit_code(caught.value) is Exit.MODEL
    assert caught.value.problems[0].span


def _shown(node: Node, lifted: LiftedNet) -> str:
    missing = [one.name for one in lifted.graph.parameters(node) if (node.name, one.name) not in lifted.blobs]
    without = f" without {' '.join(one for one in missing)}" if missing else ""
    return f"{node.name}={node.op.keyword}({' '.join(node.inputs)}){without}".replace("without mean variance", "")


def layer(net: Any, name: str) -> Any:
    return next(one for one in net.layer if one.name == name)


def swap_blobs(net: Any, first: tuple[str, int], second: tuple[str, int]) -> None:
    a, b = (layer(net, name).blobs[number] for name, number in (first, second))
    old = list(a.data)
    a.data[:] = list(b.data)
    b.data[:] = old


def reshape(net: Any) -> None:
    shape = layer(net, "c/fc2").blobs[0].shape
    assert list(shape.dim) == [2, 2]
    shape.dim[:] = [1, 4]


def set_blob(net: Any, name: str, number: int, value: float) -> None:
    layer(net, name).blobs[number].data[0] = value


CAFFEMODEL_CHANGES: dict[str, Callable[[Any], object]] = {
    "a weight": lambda net: set_blob(net, "a/conv", 0, 0.5),
    "a weight of NaN": lambda net: set_blob(net, "c/fc", 1, float("nan")),
    "the factor of a norm": lambda net: set_blob(net, "a/batchnorm", 2, 2.0),
    "two weights of a shape": lambda net: swap_blobs(net, ("b/0/main/conv1", 0), ("b/0/main/conv2", 0)),
    "mean for variance": lambda net: swap_blobs(net, ("a/batchnorm", 0), ("a/batchnorm", 1)),
    "gamma for beta": lambda net: swap_blobs(net, ("a/batchnorm/2", 0), ("a/batchnorm/2", 1)),
    "a blob's shape": reshape,
    "no shape": lambda net: layer(net, "a/batchnorm").blobs[2].ClearField("shape"),
    "a value too few": lambda net: layer(net, "c/fc").blobs[0].data.pop(),
    "no blob": lambda net: layer(net, "c/fc").blobs.pop(),
    "a blob more": lambda net: layer(net, "a/relu").blobs.add(),
    "a gradient": lambda net: layer(net, "c/fc").blobs[1].diff.append(1),
    "a layer left out": lambda net: net.layer.pop(),
    "a layer twice": lambda net: net.layer.append(net.layer[0]),
    "a layer's name": lambda net: setattr(net.layer[0], "name", "other"),
    "a layer's field": lambda net: setattr(layer(net, "a/conv").convolution_param, "group", 2),
    "the net's name": lambda net: setattr(net, "name", "other"),
    "the net's input": lambda net: net.input_dim.append(1),
    "the net's state": lambda net: setattr(net.state, "level", 3),
}


@pytest.mark.parametrize("change", CAFFEMODEL_CHANGES)
def test_changed_caffemodel_is_noticed(change: str, caffe: CaffeModel) -> None:
    net = net_parameter(caffe.caffemodel.read_bytes())
    assert validate_caffemodel(beside(caffe.caffemodel, net.SerializeToString()), caffe.plan, caffe.checksums) == []
    CAFFEMODEL_CHANGES[change](net)
    changed = beside(caffe.caffemodel, net.SerializeToString())
    assert validate_caffemodel(changed, caffe.plan, caffe.checksums)


SWAPPED = {"b/0/main/conv1": "b/0/main/conv2", "b/0/main/conv2": "b/0/main/conv1"}
EMITTERS: dict[str, Callable[[LayerPlan], LayerPlan]] = {
    "mean for variance": lambda one: replace(one, blobs=one.blobs[::-1]) if one.type == "BatchNorm" else one,
    "gamma for beta": lambda one: replace(one, blobs=one.blobs[::-1]) if one.type == "Scale" else one,
    "bias for weight": lambda one: replace(one, blobs=one.blobs[::-1]) if one.type == "InnerProduct" else one,
    "no bias": lambda one: replace(one, blobs=one.blobs[:1]) if one.type == "InnerProduct" else one,
    "no blobs": lambda one: replace(one, blobs=()),
    "another's blobs": lambda one: replace(one, node=SWAPPED.get(one.node, one.node)),
}


@pytest.mark.parametrize("mistake", EMITTERS)
def test_mistaken_emitter_is_noticed(mistake: str, net: Graph, caffe: CaffeModel, tmp_path: Path) -> None:
    """The validator has its own idea of which blobs a layer has."""
    layers = tuple(EMITTERS[mistake](one) for one in caffe.plan.net.layers)
    planned = replace(caffe.plan, net=replace(caffe.plan.net, layers=layers))
    assert planned != caffe.plan
    path = tmp_path / "net.caffemodel"
    checksums = write_caffemodel(planned, random_weights(net), path)
    assert validate_caffemodel(path, planned, checksums)
