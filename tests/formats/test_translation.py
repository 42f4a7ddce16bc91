"""Translation validation: what was written is read back, and whatever happened to it on the way is noticed."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from msgspec.structs import replace
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

from resnetgen.errors import Exit, Failure, Source
from resnetgen.formats.caffe.lift import Lifted, lift
from resnetgen.formats.caffe.lower_ops import Layer, Weight
from resnetgen.formats.caffe.model.read import parse
from resnetgen.formats.caffe.model.schema import message
from resnetgen.formats.caffe.validate import read_caffemodel, validate_caffemodel, validate_prototxt
from resnetgen.formats.caffe.write import write_caffemodel
from resnetgen.formats.onnx.lift import lift as lift_onnx
from resnetgen.formats.onnx.model.read import read_model
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.canonical import canonical, differences, shortest
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import AvgPool, MaxPool
from support.helpers import (
    CaffeModel,
    OnnxModel,
    cells,
    compile_text,
    error,
    expected,
    image,
    on_onnxruntime,
    random_weights,
    write_caffe,
    write_onnx,
)

NET = """
use: std
name: tiny
input: 2x8x9
blocks:
  gated:
    branches: {x: identity, gate: "gap | conv 1x1, 2, bias | sigmoid"}
    merge: mul
  beside:
    branches: {a: "3x3, 2", b: "3x3, 2"}
    merge: concat
stages:
  a: conv 3x3, 2 | batchnorm | relu | maxpool 3x3, /2, ceil
  b: "[3x3, 2; 3x3, 2] | gated() | beside()"
  c: avgpool 4x4, /3, p=1, ceil | flatten | fc 2 | fc 2 | softmax
"""
PLANNED = "the file says something else than was planned"
"""Said of every change; of one that the IR can express more must be said."""


@pytest.fixture(scope="module")
def net() -> Graph:
    return compile_text(NET)


@pytest.fixture(scope="module")
def model(net: Graph, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    options = OnnxOptions(metadata={"seed": "0"})
    return write_onnx(net, random_weights(net), tmp_path_factory.mktemp("onnx"), options)


@pytest.fixture(scope="module")
def external(net: Graph, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return write_onnx(net, random_weights(net), tmp_path_factory.mktemp("external"), limit=1000)


@pytest.fixture(scope="module")
def caffe(net: Graph, tmp_path_factory: pytest.TempPathFactory) -> CaffeModel:
    return write_caffe(net, random_weights(net), tmp_path_factory.mktemp("caffe"))


def onnx_differences(model: OnnxModel, path: Path | None = None) -> list[str]:
    return validate(path or model.path, model.graph, model.plan, model.options, model.checksums)


def beside(path: Path, data: bytes) -> Path:
    """A changed copy in the same folder, so that external data is found."""
    changed = path.with_name(f"changed-{path.name}")
    changed.write_bytes(data)
    return changed


def net_parameter(data: bytes) -> Any:
    return message("NetParameter").FromString(data)


# The unchanged files


def test_unchanged_files_pass(model: OnnxModel, external: OnnxModel, caffe: CaffeModel) -> None:
    assert onnx_differences(model) == []
    assert onnx_differences(external) == []
    assert validate_prototxt(caffe.prototxt, caffe.graph, caffe.plan) == []
    assert validate_caffemodel(caffe.caffemodel, caffe.plan, caffe.checksums) == []


def test_the_model_is_what_protobuf_would_write(model: OnnxModel) -> None:
    """What was streamed has the bytes of what onnx's own helpers make in one piece."""
    whole = ModelProto()
    whole.CopyFrom(model.plan.skeleton)
    weights = random_weights(model.graph)
    for node in model.graph.nodes:
        for parameter in model.graph.parameters(node):
            values = weights.tensor(node.name, parameter.name)
            whole.graph.initializer.append(numpy_helper.from_array(values, f"{node.name}.{parameter.name}"))
    written = model.path.read_bytes()
    assert written == whole.SerializeToString(deterministic=True)
    onnx.checker.check_model(written, full_check=True)


def test_a_model_in_fragments_says_the_same(model: OnnxModel) -> None:
    """A message may come as a sequence of messages, which a reader merges."""
    skeleton = onnx.load(str(model.path))
    pieces = [ModelProto(graph=GraphProto(initializer=[tensor])) for tensor in skeleton.graph.initializer]
    skeleton.graph.ClearField("initializer")
    path = beside(model.path, b"".join(piece.SerializeToString() for piece in (skeleton, *pieces)))
    assert path.read_bytes() != model.path.read_bytes()
    assert onnx_differences(model, path) == []


def test_caffemodel_is_the_prototxt_with_blobs(caffe: CaffeModel) -> None:
    whole = text_format.Parse(caffe.prototxt.read_text(), message("NetParameter")())
    found = net_parameter(caffe.caffemodel.read_bytes())
    weights = random_weights(caffe.graph)
    for layer, written in zip(whole.layer, found.layer, strict=True):
        own = next(one for one in caffe.plan.net.layers if one.name == layer.name)
        values = [weights.tensor(own.node, blob.parameter) for blob in own.blobs if isinstance(blob, Weight)]
        values += [np.ones(1, np.float32)] if layer.type == "BatchNorm" else []
        for value in values:
            blob = layer.blobs.add()
            blob.shape.dim.extend(value.shape)
            blob.data.extend(value.ravel().tolist())
        assert written == layer
    assert found == whole
    assert caffe.plan.net.layers[-1].tops == tuple(whole.layer[-1].top)


# ONNX, changed


def node(proto: ModelProto, kind: str, number: int = 0) -> onnx.NodeProto:
    return [one for one in proto.graph.node if one.op_type == kind][number]


def set_attribute(kind: str, name: str, value: object, number: int = 0) -> Callable[[ModelProto], None]:
    def change(proto: ModelProto) -> None:
        target = node(proto, kind, number)
        for one in [one for one in target.attribute if one.name == name]:
            target.attribute.remove(one)
        target.attribute.append(helper.make_attribute(name, value))

    return change


def drop_attribute(kind: str, name: str) -> Callable[[ModelProto], None]:
    def change(proto: ModelProto) -> None:
        target = node(proto, kind)
        target.attribute.remove(next(one for one in target.attribute if one.name == name))

    return change


def set_input(kind: str, position: int, name: str, number: int = 0) -> Callable[[ModelProto], None]:
    return lambda proto: node(proto, kind, number).input.__setitem__(position, name)


def swap_inputs(kind: str, a: int, b: int) -> Callable[[ModelProto], None]:
    def change(proto: ModelProto) -> None:
        inputs = node(proto, kind).input
        inputs[a], inputs[b] = inputs[b], inputs[a]

    return change


def tensor(proto: ModelProto, name: str) -> TensorProto:
    return next(one for one in proto.graph.initializer if one.name == name)


def swap_tensors(a: str, b: str, field: str) -> Callable[[ModelProto], None]:
    def change(proto: ModelProto) -> None:
        first, second = tensor(proto, a), tensor(proto, b)
        old = getattr(first, field)
        setattr(first, field, getattr(second, field))
        setattr(second, field, old)

    return change


def swap_uses(proto: ModelProto) -> None:
    """Two convolutions of one shape are given each other's weights."""
    a, b = node(proto, "Conv", 1), node(proto, "Conv", 2)
    a.input[1], b.input[1] = b.input[1], a.input[1]


def nan_weight(proto: ModelProto) -> None:
    values = numpy_helper.to_array(tensor(proto, "c/fc.weight")).copy()
    values.flat[0] = np.nan
    tensor(proto, "c/fc.weight").raw_data = values.tobytes()


def smaller_weight(proto: ModelProto) -> None:
    tensor(proto, "c/fc.weight").raw_data = tensor(proto, "c/fc.weight").raw_data[:-4]


def typed_weight(proto: ModelProto) -> None:
    """The same numbers, not in raw_data."""
    one = tensor(proto, "c/fc.weight")
    values = numpy_helper.to_array(one).ravel().tolist()
    one.ClearField("raw_data")
    one.float_data.extend(values)


def more_weights(proto: ModelProto) -> None:
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "more"))


def double_weight(proto: ModelProto) -> None:
    one = tensor(proto, "c/fc2.bias")
    values = numpy_helper.to_array(one).astype(np.float64)
    one.CopyFrom(numpy_helper.from_array(values, "c/fc2.bias"))


def two_dimensions(proto: ModelProto) -> None:
    one = tensor(proto, "c/fc2.weight")
    assert tuple(one.dims) == (2, 2)
    one.dims[:] = [4, 1]


def swap_nodes(proto: ModelProto) -> None:
    first, second = ModelProto(), ModelProto()
    first.graph.node.append(proto.graph.node[0])
    second.graph.node.append(proto.graph.node[1])
    proto.graph.node[0].CopyFrom(second.graph.node[0])
    proto.graph.node[1].CopyFrom(first.graph.node[0])


def set_pads(proto: ModelProto) -> None:
    tensor(proto, "c/avgpool.pads").int64_data[:] = [0, 0, 1, 1, 0, 0, 1, 2]


def whole_net_of_other_batch(proto: ModelProto) -> None:
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "M"


def another_output(proto: ModelProto) -> None:
    proto.graph.output[0].name = "c/fc2"


def edit(statement: str) -> Callable[[ModelProto], None]:
    """`graph.name = "x"`: short ones as they would be typed."""
    return lambda proto: exec(f"proto.{statement}", {"proto": proto})


ONNX_CHANGES: dict[str, Callable[[ModelProto], None]] = {
    "stride": set_attribute("Conv", "strides", [2, 2]),
    "stride in one axis": set_attribute("Conv", "strides", [1, 2]),
    "pads shifted": set_attribute("Conv", "pads", [0, 0, 2, 2]),
    "pads": set_attribute("Conv", "pads", [2, 2, 2, 2]),
    "too few pads": set_attribute("Conv", "pads", [1, 1]),
    "dilation": set_attribute("Conv", "dilations", [2, 1]),
    "groups": set_attribute("Conv", "group", 2),
    "kernel": set_attribute("Conv", "kernel_shape", [1, 1]),
    "kernel of three": set_attribute("Conv", "kernel_shape", [3, 3, 3]),
    "kernel of zero": set_attribute("MaxPool", "kernel_shape", [0, 3]),
    "a stride for a relu": set_attribute("Relu", "strides", [1, 1]),
    "eps": set_attribute("BatchNormalization", "epsilon", 1e-3),
    "eps, by one bit": set_attribute("BatchNormalization", "epsilon", float(np.nextafter(np.float32(1e-5), 1))),
    "training mode": set_attribute("BatchNormalization", "training_mode", 1),
    "pooling's kernel": set_attribute("MaxPool", "kernel_shape", [2, 2]),
    "pooling's pads shifted": set_attribute("MaxPool", "pads", [1, 0, 0, 0]),
    "pooling's stride": set_attribute("MaxPool", "strides", [2, 1]),
    "padding counts": set_attribute("AveragePool", "count_include_pad", 1),
    "padding of the average": set_attribute("AveragePool", "pads", [1, 1, 1, 1]),
    "zeros of the average": set_pads,
    "axis of flatten": set_attribute("Flatten", "axis", 2),
    "axis of concat": set_attribute("Concat", "axis", 2),
    "alpha of an fc": set_attribute("Gemm", "alpha", 2.0),
    "fc not transposed": set_attribute("Gemm", "transB", 0),
    "relu for sigmoid": edit("graph.node[2].__setattr__('op_type', 'Sigmoid')"),
    "add for mul": lambda proto: setattr(node(proto, "Mul"), "op_type", "Add"),
    "max for average": lambda proto: setattr(node(proto, "AveragePool"), "op_type", "LpPool"),
    "foreign domain": lambda proto: setattr(node(proto, "Relu"), "domain", "com.microsoft"),
    "rewired, shape kept": set_input("Add", 0, "b/0/main/norm1"),
    "rewired to nothing": set_input("Add", 0, "nothing"),
    "rewired to a later node": set_input("Relu", 0, "b/0/act"),
    "rewired around the pad": set_input("AveragePool", 0, "b/beside/concat"),
    "padding that a pooling ignores": set_input("Flatten", 0, "c/avgpool/padded"),
    "order of the sum": swap_inputs("Add", 0, 1),
    "order of the concat": swap_inputs("Concat", 0, 1),
    "one input twice": set_input("Concat", 1, "b/beside/a/act1"),
    "no input": lambda proto: proto.graph.node[0].ClearField("input"),
    "weights before the image": swap_inputs("Conv", 0, 1),
    "gamma for beta": swap_inputs("BatchNormalization", 1, 2),
    "mean for variance": swap_inputs("BatchNormalization", 3, 4),
    "another's weights": swap_uses,
    "swapped values": swap_tensors("b/0/main/conv1.weight", "b/0/main/conv2.weight", "raw_data"),
    "swapped names": swap_tensors("b/0/main/conv1.weight", "b/0/main/conv2.weight", "name"),
    "swapped statistics": swap_tensors("a/batchnorm.mean", "a/batchnorm.beta", "raw_data"),
    "a NaN": nan_weight,
    "a weight cut short": smaller_weight,
    "a weight as a list": typed_weight,
    "a weight in double": double_weight,
    "a weight of another shape": two_dimensions,
    "a weight that no node has": more_weights,
    "no weight": edit("graph.initializer.pop()"),
    "a weight twice": edit("graph.initializer.append(proto.graph.initializer[-1])"),
    "renamed tensor": lambda proto: setattr(tensor(proto, "c/fc.bias"), "name", "c/fc.bios"),
    "renamed node and tensor": lambda proto: node(proto, "Softmax").output.__setitem__(0, "out"),
    "renamed network": edit("graph.__setattr__('name', 'other')"),
    "renamed input": edit("graph.input[0].__setattr__('name', 'x')"),
    "another input": edit("graph.input.append(proto.graph.input[0])"),
    "no network": edit("ClearField('graph')"),
    "another output": another_output,
    "two outputs": edit("graph.output.append(proto.graph.value_info[0])"),
    "no output": edit("graph.ClearField('output')"),
    "a node left out": edit("graph.node.pop()"),
    "a node twice": edit("graph.node.append(proto.graph.node[-1])"),
    "a node of two outputs": edit("graph.node[0].output.append('more')"),
    "nodes in another order": swap_nodes,
    "declared shape": edit("graph.value_info[0].type.tensor_type.shape.dim[2].__setattr__('dim_value', 5)"),
    "another image": edit("graph.input[0].type.tensor_type.shape.dim[3].__setattr__('dim_value', 8)"),
    "an image of three dimensions": edit("graph.input[0].type.tensor_type.shape.dim.pop()"),
    "another batch": whole_net_of_other_batch,
    "fixed batch": edit("graph.input[0].type.tensor_type.shape.dim[0].__setattr__('dim_value', 4)"),
    "opset": edit("opset_import[0].__setattr__('version', 16)"),
    "two opsets": edit("opset_import.add(domain='ai.onnx.ml', version=3)"),
    "IR version": edit("__setattr__('ir_version', 13)"),
    "metadata": edit("metadata_props[0].__setattr__('value', '1')"),
}
"""All these change what the model is."""
ONNX_SPELLINGS: dict[str, Callable[[ModelProto], None]] = {
    "auto_pad": set_attribute("Conv", "auto_pad", "SAME_UPPER"),
    "no stride": drop_attribute("Conv", "strides"),
    "pooling's pads, the size kept": set_attribute("MaxPool", "pads", [0, 0, 2, 0]),
    "pooling by ceil_mode": set_attribute("MaxPool", "ceil_mode", 1),
    "axis of softmax": set_attribute("Softmax", "axis", -1),
}
"""The same network, written otherwise: only the plan notices."""
ONNX_WORDS: dict[str, Callable[[ModelProto], None]] = {
    "element type": edit("graph.input[0].type.tensor_type.__setattr__('elem_type', 10)"),
    "node's name": edit("graph.node[0].__setattr__('name', 'x')"),
    "place in the spec": edit("graph.node[0].__setattr__('doc_string', 'x')"),
    "producer": edit("__setattr__('producer_name', 'x')"),
    "type of an attribute": edit("graph.node[0].attribute[0].__setattr__('ref_attr_name', 'x')"),
    "no declared shapes": edit("graph.ClearField('value_info')"),
    "a function": edit("functions.add(name='f')"),
}
"""These do not, or not as far as the IR sees; the plan does."""


@pytest.mark.parametrize("change", [*ONNX_CHANGES, *ONNX_SPELLINGS, *ONNX_WORDS])
def test_changed_onnx_is_noticed(change: str, model: OnnxModel) -> None:
    proto = onnx.load(str(model.path))
    (ONNX_CHANGES | ONNX_SPELLINGS | ONNX_WORDS)[change](proto)
    assert proto != onnx.load(str(model.path))
    found = onnx_differences(model, beside(model.path, proto.SerializeToString()))
    assert found
    assert (found == [PLANNED]) is (change in ONNX_SPELLINGS) or change in ONNX_WORDS


# What a reader must not take for something else


def single(kind: str, before: list[onnx.NodeProto] | None = None, **attributes: object) -> ModelProto:
    """A model of one node on a 1x8x8 image, and of what stands before it."""
    last = before[-1].output[0] if before else "data"
    main = helper.make_node(kind, [last], ["out"], name="out", **attributes)
    source = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 1, 8, 8])
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    made = helper.make_graph([*(before or []), main], "net", [source], [result])
    made.initializer.append(helper.make_tensor("zeros", TensorProto.INT64, [8], [0, 0, 1, 1, 0, 0, 1, 1]))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])


PAD = [helper.make_node("Pad", ["data", "zeros"], ["padded"])]
WINDOW = {"kernel_shape": [3, 3], "strides": [2, 2]}
FOREIGN: dict[str, tuple[ModelProto, object]] = {
    # What it means in the IR, or the message of its refusal.
    "floor": (single("MaxPool", **WINDOW, pads=[0, 0, 0, 0]), MaxPool((3, 3), (2, 2))),
    "overhang": (single("MaxPool", **WINDOW, pads=[0, 0, 1, 1]), MaxPool((3, 3), (2, 2), ceil=True)),
    "more at the end than an overhang": (
        single("MaxPool", **WINDOW, pads=[0, 0, 2, 2]),
        MaxPool((3, 3), (2, 2), ceil=True),  # the same windows
    ),
    "an overhang in one axis only": (single("MaxPool", **WINDOW, pads=[0, 0, 1, 0]), "padded otherwise"),
    "counted padding": (
        single("AveragePool", **WINDOW, pads=[1, 1, 1, 1], count_include_pad=1),
        AvgPool((3, 3), (2, 2), pad=(1, 1)),
    ),
    "excluded padding": (
        single("AveragePool", **WINDOW, pads=[1, 1, 1, 1], count_include_pad=0),
        AvgPool((3, 3), (2, 2), pad=(1, 1), exclude_pad=True),
    ),
    "counted overhang": (
        single("AveragePool", **WINDOW, pads=[0, 0, 1, 1], count_include_pad=1),
        "counts the overhang",
    ),
    "padded average": (
        single("AveragePool", PAD, **WINDOW, pads=[0, 0, 0, 0], count_include_pad=0),
        AvgPool((3, 3), (2, 2), pad=(1, 1)),
    ),
    "padded twice": (
        single("AveragePool", PAD, **WINDOW, pads=[1, 1, 1, 1], count_include_pad=0),
        "unsupported layer: Pad",
    ),
    "zeros under a maximum": (
        single("MaxPool", PAD, **WINDOW, pads=[0, 0, 0, 0]),
        r"unsupported layer: Pad \(node padded\)",
    ),
    "zeros under a relu": (single("Relu", PAD), r"unsupported layer: Pad \(node padded\)"),
    "reflected": (
        single("Relu", [helper.make_node("Pad", ["data", "zeros"], ["padded"], mode="reflect")]),
        r"unsupported layer: Pad \(node padded\)",
    ),
    "padded by what is not there": (
        single("Relu", [helper.make_node("Pad", ["data"], ["p"])]),
        r"unsupported layer: Pad \(node p\)",
    ),
    "an elu": (single("Elu", alpha=0.1), r"unsupported layer: Elu \(node out\)"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_a_pooling_means(case: str, tmp_path: Path) -> None:
    proto, meaning = FOREIGN[case]
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    if isinstance(meaning, str):
        with pytest.raises(Failure, match=meaning) as caught:
            lift_onnx(read_model(path))
        assert caught.value.exit is Exit.MODEL
    else:
        graph = lift_onnx(read_model(path)).graph
        assert canonical(graph).nodes[-1].op == meaning


def test_canonical_form() -> None:
    """Two ways to write one network are one; a difference that matters is one."""
    for a, b, same in [
        ("gap | flatten | fc 2", "gap | fc 2", True),
        ("flatten | relu", "relu | flatten", False),
        ("maxpool 3x3, /2, ceil", "maxpool 3x3, /2", True),
        ("maxpool 2x2, /2, ceil", "maxpool 2x2, /2", False),
        ("avgpool 3x3, /2, exclude_pad", "avgpool 3x3, /2", True),
        ("avgpool 3x3, /2, p=1, exclude_pad", "avgpool 3x3, /2, p=1", False),
        ("batchnorm eps=0.0123456789", "batchnorm eps=0.01234567891", True),  # one float32
        ("batchnorm eps=0.0123456789", "batchnorm eps=0.01234568", False),
    ]:
        found = differences(cells(a, "2x9x9"), cells(b, "2x9x9"))
        assert (found == []) is same, (a, b, found)
    assert [shortest(float(np.float32(x))) for x in (1e-5, 1.001e-5, 0.1, 0.0123456789)] == [
        1e-5,
        1.001e-5,
        0.1,
        0.012345679,
    ]


# Caffe, changed

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
    assert caught.value.exit is Exit.MODEL
    assert caught.value.problems[0].span


def _shown(node: Node, lifted: Lifted) -> str:
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
EMITTERS: dict[str, Callable[[Layer], Layer]] = {
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


# Every truncation, and bits that flip


def parsed_prototxt(data: bytes) -> Any:
    return text_format.Parse(data.decode(), message("NetParameter")())


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    small = cells("conv 1x1, 1, bias | batchnorm | avgpool 2x2, /2, p=1, ceil", "1x3x3")
    model, caffe = (
        write_onnx(small, random_weights(small), tmp_path),
        write_caffe(small, random_weights(small), tmp_path),
    )
    for size in range(model.path.stat().st_size):
        assert onnx_differences(model, beside(model.path, model.path.read_bytes()[:size])), size
    for size in range(caffe.caffemodel.stat().st_size):
        changed = beside(caffe.caffemodel, caffe.caffemodel.read_bytes()[:size])
        assert validate_caffemodel(changed, caffe.plan, caffe.checksums), size
    text = caffe.prototxt.read_bytes()
    for size in range(len(text.rstrip())):
        assert validate_prototxt(beside(caffe.prototxt, text[:size]), caffe.graph, caffe.plan), size


def flips(data: bytes, count: int) -> list[bytes]:
    chance = random.Random(7)
    flipped = []
    for _ in range(count):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        flipped.append(bytes(changed))
    return flipped


Noticed = Callable[[bytes], list[str]]


def missed(noticed: Noticed, parse: Callable[[bytes], Any], data: bytes, count: int) -> list[bytes]:
    """The flips that went unnoticed although they say something else."""
    whole = parse(data)
    return [changed for changed in flips(data, count) if not noticed(changed) and parse(changed) != whole]


def test_flipped_bits_are_noticed(model: OnnxModel, external: OnnxModel, caffe: CaffeModel) -> None:
    def in_onnx(data: bytes) -> list[str]:
        return onnx_differences(model, beside(model.path, data))

    def in_external(data: bytes) -> list[str]:
        return onnx_differences(external, beside(external.path, data))

    def in_prototxt(data: bytes) -> list[str]:
        return validate_prototxt(beside(caffe.prototxt, data), caffe.graph, caffe.plan)

    def in_caffemodel(data: bytes) -> list[str]:
        return validate_caffemodel(beside(caffe.caffemodel, data), caffe.plan, caffe.checksums)

    assert missed(in_onnx, ModelProto.FromString, model.path.read_bytes(), 400) == []
    assert missed(in_external, ModelProto.FromString, external.path.read_bytes(), 300) == []
    assert missed(in_prototxt, parsed_prototxt, caffe.prototxt.read_bytes(), 300) == []
    assert missed(in_caffemodel, net_parameter, caffe.caffemodel.read_bytes(), 300) == []


def test_flips_are_missed_by_who_looks_away(model: OnnxModel) -> None:
    """Negative control: that a file still parses says little."""

    def parses(data: bytes) -> list[str]:
        try:
            ModelProto.FromString(data)
        except Exception as fault:
            return [str(fault)]
        return []

    assert len(missed(parses, ModelProto.FromString, model.path.read_bytes(), 300)) > 100


# External data


def test_external_data(external: OnnxModel, model: OnnxModel) -> None:
    assert external.plan.external
    assert external.path.with_name(f"{external.path.name}.data").is_file()
    data = image(external.graph, batch=2)
    wanted = expected(external.graph, random_weights(external.graph), data)
    assert error(on_onnxruntime(external.path, data), wanted) < 1e-5
    assert np.array_equal(on_onnxruntime(external.path, data), on_onnxruntime(model.path, data))
    onnx.checker.check_model(str(external.path), full_check=True)
    inside = onnx.load(str(model.path)).graph.initializer
    beside_it = onnx.load(str(external.path)).graph.initializer
    assert [one.name for one in inside] == [one.name for one in beside_it]
    for a, b in zip(inside, beside_it, strict=True):
        assert np.array_equal(numpy_helper.to_array(a), numpy_helper.to_array(b))


def place(key: str, value: str) -> Callable[[ModelProto], None]:
    def change(proto: ModelProto) -> None:
        entry = next(one for one in tensor(proto, "c/fc.weight").external_data if one.key == key)
        entry.value = value

    return change


def no_place(proto: ModelProto) -> None:
    tensor(proto, "c/fc.weight").ClearField("external_data")


LOCATIONS: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    "above": (place("location", "../weights"), "outside its folder"),
    "far above": (place("location", "../../../../etc/hostname"), "outside its folder"),
    "absolute": (place("location", "/etc/hostname"), "outside its folder"),
    "below": (place("location", "folder/weights"), "outside its folder"),
    "a name that begins with the folder": (place("location", "./weights"), "outside its folder"),
    "the folder above": (place("location", ".."), "outside its folder"),
    "the folder": (place("location", "."), "outside its folder"),
    "empty": (place("location", ""), "outside its folder"),
    "Windows' way up": (place("location", "..\\weights"), "outside its folder"),
    "Windows' drive": (place("location", "C:weights"), "outside its folder"),
    "NUL": (place("location", "model0.onnx.data\0"), "outside its folder"),
    "a link": (place("location", "link"), "outside its folder"),
    "not there": (place("location", "nothing"), "are missing"),
    "a folder": (place("location", "folder"), "are missing"),
    "a pipe": (place("location", "pipe"), "are missing"),  # would wait for a writer, forever
    "beyond the end": (place("offset", "1000000000000000000000000"), "does not say where"),
    "just beyond the end": (place("offset", "131072"), "ends beyond"),
    "before the start": (place("offset", "-1"), "does not say where"),
    "in words": (place("offset", "four"), "does not say where"),
    "longer": (place("length", "1000000"), "of 2x16 float32 holds"),
    "shorter": (place("length", "4"), "of 2x16 float32 holds"),
    "nowhere": (no_place, "outside its folder"),
    "another's": (place("offset", "0"), ""),
}


@pytest.mark.skipif(os.name == "nt", reason="links and pipes as POSIX has them")
@pytest.mark.parametrize("case", LOCATIONS)
def test_location_of_external_data(case: str, external: OnnxModel, tmp_path: Path) -> None:
    change, message = LOCATIONS[case]
    folder = tmp_path / "model"
    (folder / "folder").mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    data = Path(f"{external.path}.data").read_bytes()
    for path in (tmp_path / "weights", folder / "folder" / "weights", folder / f"{external.path.name}.data"):
        path.write_bytes(data)
    (folder / "link").symlink_to(tmp_path / "weights")
    model = folder / external.path.name
    proto = ModelProto.FromString(external.path.read_bytes())
    model.write_bytes(proto.SerializeToString())
    assert onnx_differences(external, model) == []
    change(proto)
    model.write_bytes(proto.SerializeToString())
    found = onnx_differences(external, model)
    assert found
    assert message in found[0]
    if message:
        with pytest.raises(Failure) as caught:
            _ = read_model(model).tensors
        assert caught.value.exit is Exit.MODEL


def test_truncated_external_data(external: OnnxModel, tmp_path: Path) -> None:
    model, data = tmp_path / external.path.name, Path(f"{external.path}.data").read_bytes()
    model.write_bytes(external.path.read_bytes())
    beside_it = tmp_path / f"{external.path.name}.data"
    for size in (len(data) - 1, len(data) - 100, len(data) // 2, 1, 0):
        beside_it.write_bytes(data[:size])
        onnx.checker.check_model(str(model))  # it sees nothing
        assert "ends beyond" in onnx_differences(external, model)[0]
    beside_it.unlink()
    assert "are missing" in onnx_differences(external, model)[0]


def test_flipped_external_data(external: OnnxModel, tmp_path: Path) -> None:
    model, path = tmp_path / external.path.name, Path(f"{external.path}.data")
    model.write_bytes(external.path.read_bytes())
    data = path.read_bytes()
    for tensor in ModelProto.FromString(external.path.read_bytes()).graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "offset":
                changed = bytearray(data)
                changed[int(entry.value)] ^= 1
                (tmp_path / path.name).write_bytes(changed)
                assert onnx_differences(external, model) == [f"the weight {tensor.name} has changed"]


# Files that are no models


NO_MODELS = [b"", b"\0", b"GIF89a", b"{}", b"\xff" * 64, b"\x0a" * 999, b"\x3a\x02", random.Random(0).randbytes(300)]


@pytest.mark.parametrize("data", NO_MODELS, ids=range(len(NO_MODELS)))
def test_what_is_no_model(data: bytes, tmp_path: Path, model: OnnxModel, caffe: CaffeModel) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert onnx_differences(model, path)
    assert validate_prototxt(path, caffe.graph, caffe.plan)
    assert validate_caffemodel(path, caffe.plan, caffe.checksums)


def test_nested_deeply(tmp_path: Path, model: OnnxModel) -> None:
    """Subgraphs in attributes, a thousand deep: refused, not a crash."""
    data = b""
    for _ in range(1000):
        graph = b"\x0a" + varint_length(data) + data  # GraphProto.node
        attribute = b"\x32" + varint_length(graph) + graph  # AttributeProto.g
        data = b"\x2a" + varint_length(attribute) + attribute  # NodeProto.attribute
    graph = b"\x0a" + varint_length(data) + data
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x3a" + varint_length(graph) + graph)
    assert "no ONNX model" in onnx_differences(model, path)[0]


def varint_length(data: bytes) -> bytes:
    from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]

    return bytes(_VarintBytes(len(data)))


def test_missing_files(tmp_path: Path) -> None:
    for read in (read_model, read_caffemodel):
        with pytest.raises(Failure) as caught:
            read(tmp_path / "nothing")
        assert caught.value.exit is Exit.IO


def test_names_that_are_no_text(model: OnnxModel) -> None:
    """Protobuf lets strings through that are not UTF-8."""
    data = model.path.read_bytes()
    for name in (b"tiny", b"input", b"a/conv", b"avgpool.pads", b"avgpool/padded", b"Softmax", b"fc.weight", b"axis"):
        places = [place.start() for place in re.finditer(re.escape(name), data)]
        assert places
        changes = [data[:place] + b"\xff" + data[place + 1 :] for place in places]
        for changed in (*changes, data.replace(name, b"\xff" + name[1:])):
            assert onnx_differences(model, beside(model.path, changed))
    proto = ModelProto.FromString(data)
    swap_inputs("Add", 0, 1)(proto)
    changed = proto.SerializeToString().replace(b"b/0/main/norm2", b"b/0/main/norm\xff")
    assert "not UTF-8" in onnx_differences(model, beside(model.path, changed))[0]


def test_attributes_that_are_not_numbers(tmp_path: Path) -> None:
    for kind in (AttributeProto.STRING, AttributeProto.TENSOR, AttributeProto.GRAPH, AttributeProto.UNDEFINED):
        proto = single("Softmax", axis=1)
        proto.graph.node[0].attribute[0].type = kind
        path = tmp_path / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        with pytest.raises(Failure, match=r"no attribute axis of this type"):
            lift_onnx(read_model(path))
