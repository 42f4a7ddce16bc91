"""Models with other inputs than one float image."""

from __future__ import annotations

from typing import Any

from onnx import ModelProto, TensorProto, helper

from support.foreign_models.build import (
    FLOAT,
    INT64,
    SCORES,
    SHAPE,
    constant,
    model,
    net,
    tensor,
    value,
)


def taking(*shape: Any, kind: int = FLOAT) -> ModelProto:
    """The identity of an input of another shape or type."""
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "g", [value("x", kind, shape)], [value("y", kind, None)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@model
def input_of_strings() -> ModelProto:
    return taking("N", *SHAPE, kind=TensorProto.STRING)


@model
def input_of_integers() -> ModelProto:
    return taking("N", *SHAPE, kind=INT64)


@model
def input_of_bytes() -> ModelProto:
    return taking("N", *SHAPE, kind=TensorProto.UINT8)


@model
def input_scalar() -> ModelProto:
    return taking()


@model
def input_of_any_size() -> ModelProto:
    made = net()
    for dim, name in zip(made.graph.input[0].type.tensor_type.shape.dim, "NCHW", strict=True):
        dim.dim_param = name
    return made


@model
def input_of_no_size() -> ModelProto:
    return taking("N", 3, 0, 8)


@model
def input_of_negative_size() -> ModelProto:
    return taking("N", 3, -8, 8)


@model
def input_of_absurd_size() -> ModelProto:
    return taking("N", 3, 1 << 20, 1 << 20)


@model
def batch_of_none() -> ModelProto:
    return taking(0, *SHAPE)


@model
def batch_absurd() -> ModelProto:
    made = net()
    for one in (made.graph.input[0], made.graph.output[0]):
        one.type.tensor_type.shape.dim[0].dim_value = 10**9
    return made


@model
def no_input() -> ModelProto:
    graph = helper.make_graph([constant("y", [1])], "g", [], [value("y", INT64, [1])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@model
def two_inputs() -> ModelProto:
    inputs = [value("x", FLOAT, ("N", *SHAPE)), value("z")]
    return net([helper.make_node("Add", [SCORES, "z"], ["y"])], [value("y")], inputs=inputs)


@model
def input_sequence() -> ModelProto:
    node = helper.make_node("SequenceAt", ["x", "at"], ["y"])
    inputs = [helper.make_tensor_sequence_value_info("x", FLOAT, None)]
    graph = helper.make_graph([node], "g", inputs, [value("y", FLOAT, None)], [tensor("at", 0, "i8")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
