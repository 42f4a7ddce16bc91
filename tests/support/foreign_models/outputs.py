"""Models with other outputs than scores, hostile numbers, and what few exporters write inside."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from support.foreign_models.build import (
    CLASSES,
    FLOAT,
    INT64,
    SCORES,
    SHAPE,
    constant,
    last,
    model,
    net,
    tensor,
    value,
)

# Other outputs than scores


@model
def strings() -> ModelProto:
    return last("Cast", TensorProto.STRING, to=TensorProto.STRING)


@model
def bools() -> ModelProto:
    return last("Cast", TensorProto.BOOL, to=TensorProto.BOOL)


@model
def bfloat16() -> ModelProto:
    return last("Cast", TensorProto.BFLOAT16, to=TensorProto.BFLOAT16)


@model
def float16() -> ModelProto:
    return last("Cast", TensorProto.FLOAT16, to=TensorProto.FLOAT16)


@model
def double() -> ModelProto:
    return last("Cast", TensorProto.DOUBLE, to=TensorProto.DOUBLE)


@model
def uint8() -> ModelProto:
    return last("Cast", TensorProto.UINT8, to=TensorProto.UINT8)


@model
def float8() -> ModelProto:
    made = last("Cast", TensorProto.FLOAT8E4M3FN, to=TensorProto.FLOAT8E4M3FN)
    made.opset_import[0].version, made.ir_version = 19, 9
    return made


@model
def int4() -> ModelProto:
    made = last("Cast", TensorProto.INT4, to=TensorProto.INT4)
    made.opset_import[0].version, made.ir_version = 21, 10
    return made


@model
def argmax() -> ModelProto:
    return last("ArgMax", INT64, ("N",), axis=1, keepdims=0)


@model
def scalar() -> ModelProto:
    return last("ReduceMax", FLOAT, (), keepdims=0)


@model
def flat() -> ModelProto:
    nodes = [constant("to", [-1]), helper.make_node("Reshape", [SCORES, "to"], ["y"])]
    return net(nodes, [value("y", FLOAT, ("M",))])


@model
def one_class() -> ModelProto:
    return last("ReduceMax", FLOAT, ("N", 1), axes=[1])


@model
def empty() -> ModelProto:
    nodes = [constant("none", [0]), helper.make_node("Slice", [SCORES, "none", "none"], ["y"])]
    return net(nodes, [value("y", FLOAT, (0, CLASSES))])


@model
def no_classes() -> ModelProto:
    nodes = [
        constant("none", [0]),
        constant("axis", [1]),
        helper.make_node("Slice", [SCORES, *["none"] * 2, "axis"], ["y"]),
    ]
    return net(nodes, [value("y", FLOAT, None)])


@model
def feature_map() -> ModelProto:
    return net(outputs=[value("relu", FLOAT, ("N", 4, 8, 8))])


@model
def unknown_shape() -> ModelProto:
    return net(outputs=[value(SCORES, FLOAT, None)])


@model
def scores_of_one_pixel() -> ModelProto:
    return net(outputs=[value("pool", FLOAT, ("N", 4, 1, 1))])


@model
def two_outputs() -> ModelProto:
    return net(outputs=[value(SCORES), value("relu", FLOAT, None)])


@model
def scores_and_strings() -> ModelProto:
    cast = helper.make_node("Cast", [SCORES], ["y"], to=TensorProto.STRING)
    return net([cast], [value(SCORES), value("y", TensorProto.STRING)])


@model
def sequence() -> ModelProto:
    made = helper.make_tensor_sequence_value_info("y", FLOAT, None)
    return net([helper.make_node("SequenceConstruct", [SCORES], ["y"])], [made])


@model
def optional() -> ModelProto:
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, ["N", CLASSES]))
    return net([helper.make_node("Optional", [SCORES], ["y"])], [helper.make_value_info("y", kind)])


@model
def maps() -> ModelProto:
    """As scikit-learn's exporter ends a classifier."""
    kind = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
    node = helper.make_node("ZipMap", [SCORES], ["y"], domain="ai.onnx.ml", classlabels_int64s=list(range(CLASSES)))
    return net([node], [helper.make_value_info("y", helper.make_sequence_type_proto(kind))], domains=["ai.onnx.ml"])


# Hostile numbers


def scaled(factor: float, kind: int = TensorProto.DOUBLE, op: str = "Mul") -> ModelProto:
    dtype = "f8" if kind == TensorProto.DOUBLE else "f4"
    nodes = [helper.make_node("Cast", [SCORES], ["d"], to=kind), helper.make_node(op, ["d", "factor"], ["y"])]
    return net(nodes, [value("y", kind)], weights=[tensor("factor", factor, dtype)])


@model
def huge() -> ModelProto:
    return scaled(1e307)


@model
def tiny() -> ModelProto:
    return scaled(5e-324)


@model
def infinite() -> ModelProto:
    return scaled(0.0, FLOAT, "Div")


@model
def nan() -> ModelProto:
    return scaled(float("nan"), FLOAT)


# Sizes, strings and the like inside


def by_shape(*, gather: bool) -> tuple[NodeProto, ...]:
    """A Flatten as `x.view(x.size(0), -1)` or `x.view(*x.shape[:1], -1)` is exported."""
    if gather:
        index = [constant("at", 0), helper.make_node("Gather", ["s", "at"], ["n"])]
        index += [constant("axes", [0]), helper.make_node("Unsqueeze", ["n", "axes"], ["n1"])]
    else:
        index = [
            constant("from", [0]),
            constant("until", [1]),
            helper.make_node("Slice", ["s", "from", "until"], ["n1"]),
        ]
    first = helper.make_node("Shape", ["pool"], ["s"])
    rest = [constant("rest", [-1]), helper.make_node("Concat", ["n1", "rest"], ["to"], axis=0)]
    return (first, *index, *rest, helper.make_node("Reshape", ["pool", "to"], ["flat"]))


@model
def rank0() -> ModelProto:
    return net(flatten=by_shape(gather=True))


@model
def batch_dynamic() -> ModelProto:
    return net(flatten=by_shape(gather=False))


@model
def batch_one() -> ModelProto:
    made = batch_dynamic()
    for one in (made.graph.input[0], made.graph.output[0]):
        one.type.tensor_type.shape.dim[0].dim_value = 1
    return made


def there_and_back(kind: int, opset: int = 17) -> ModelProto:
    nodes = [helper.make_node("Cast", [SCORES], ["c"], to=kind), helper.make_node("Cast", ["c"], ["y"], to=FLOAT)]
    return net(nodes, [value("y")], opset=opset)


@model
def no_floats_inside() -> ModelProto:
    """One node, so that nothing is inside."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], [SCORES])], "foreign", [value("x", FLOAT, ("N", *SHAPE))], [value(SCORES)]
    )
    graph.output[0].type.tensor_type.shape.dim[1].dim_value = int(np.prod(SHAPE))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@model
def strings_inside() -> ModelProto:
    return there_and_back(TensorProto.STRING)


@model
def bfloat16_inside() -> ModelProto:
    return there_and_back(TensorProto.BFLOAT16)


@model
def float8_inside() -> ModelProto:
    made = there_and_back(TensorProto.FLOAT8E4M3FN, 19)
    made.ir_version = 9
    return made


@model
def sequence_inside() -> ModelProto:
    nodes = [helper.make_node("SequenceConstruct", [SCORES], ["q"]), constant("at", 0)]
    return net([*nodes, helper.make_node("SequenceAt", ["q", "at"], ["y"])], [value("y")])


@model
def untyped_inside() -> ModelProto:
    """Strings whose type no one declares, behind a node of a function."""
    body = [helper.make_node("Cast", ["a"], ["b"], to=TensorProto.STRING)]
    function = helper.make_function("local", "Text", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    nodes = [
        helper.make_node("Text", [SCORES], ["t"], domain="local"),
        helper.make_node("Cast", ["t"], ["y"], to=FLOAT),
    ]
    return net(nodes, [value("y")], functions=[function], domains=["local"])


@model
def branches() -> ModelProto:
    """An If whose branches are graphs of their own."""
    bodies = [
        helper.make_graph([helper.make_node(op, [SCORES], [name])], name, [], [value(name)])
        for op, name in (("Relu", "then"), ("Neg", "other"))
    ]
    nodes = [helper.make_node("If", ["yes"], ["y"], then_branch=bodies[0], else_branch=bodies[1])]
    return net(nodes, [value("y")], weights=[tensor("yes", True, "?")])


@model
def weights_as_inputs() -> ModelProto:
    """As exporters for IR version 3 wrote it; here the weights are the first inputs."""
    made = net()
    image = made.graph.input.pop()
    for weight in made.graph.initializer:
        made.graph.input.append(value(weight.name, weight.data_type, list(weight.dims)))
    made.graph.input.append(image)
    return made


@model
def weights_as_constants() -> ModelProto:
    made = net()
    nodes = [helper.make_node("Constant", [], [weight.name], value=weight) for weight in made.graph.initializer]
    nodes += list(made.graph.node)
    del made.graph.initializer[:], made.graph.node[:]
    made.graph.node.extend(nodes)
    return made
