"""Translation validation of ONNX models: every change is noticed, also in external data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from support.helpers import (
    OnnxModel,
)
from support.translation import PLANNED, beside, node, onnx_differences, swap_inputs, tensor


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
