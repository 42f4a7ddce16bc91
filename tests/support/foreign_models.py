"""Small ONNX models as other exporters write them, and some that nobody should: each a file that a user may name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
SHAPE = (3, 8, 8)
"""Of an image."""
CLASSES = 5
SCORES = "scores"

Make = Callable[[], "ModelProto | bytes"]
MODELS: dict[str, Make] = {}
"""Name -> function that makes the model, or its bytes."""


def model(make: Make) -> Make:
    MODELS[make.__name__] = make
    return make


def value(name: str, kind: int = FLOAT, shape: Sequence[Any] | None = ("N", CLASSES)) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def tensor(name: str, values: Any, dtype: str = "f4") -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def net(
    after: Sequence[NodeProto] = (),
    outputs: Sequence[ValueInfoProto] = (),
    *,
    flatten: Sequence[NodeProto] = (helper.make_node("Flatten", ["pool"], ["flat"]),),
    inputs: Sequence[ValueInfoProto] = (value("x", FLOAT, ("N", *SHAPE)),),
    weights: Sequence[TensorProto] = (),
    functions: Sequence[FunctionProto] = (),
    domains: Sequence[str] = (),
    opset: int = 17,
) -> ModelProto:
    """A classifier with nodes behind its scores: convolution, ReLU, pooling, flattening, product."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        *flatten,
        helper.make_node("Gemm", ["flat", "fc.weight"], [SCORES]),
        *after,
    ]
    kernels = tensor("conv.weight", random.standard_normal((4, 3, 3, 3)))
    matrix = tensor("fc.weight", random.standard_normal((4, CLASSES)))
    graph = helper.make_graph(nodes, "foreign", inputs, outputs or [value(SCORES)], [kernels, matrix, *weights])
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=imports, functions=list(functions))
    made.ir_version = 8
    return made


def last(op: str, kind: int = FLOAT, shape: Sequence[Any] | None = ("N", CLASSES), **attributes: Any) -> ModelProto:
    """The classifier with one node behind its scores."""
    return net([helper.make_node(op, [SCORES], ["y"], **attributes)], [value("y", kind, shape)])


def constant(name: str, values: Any) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=tensor(name, values, "i8"))


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


# Other inputs


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


# Names and texts


def renamed(made: ModelProto) -> bytes:
    """The model with bytes that are no UTF-8 in place of QQQQ."""
    data = made.SerializeToString()
    assert b"QQQQ" in data
    return data.replace(b"QQQQ", b"\xff\xfe\xfd\xfc")


@model
def node_name_of_bytes() -> bytes:
    made = net()
    made.graph.node[1].name = "QQQQ"
    return renamed(made)


@model
def tensor_name_of_bytes() -> bytes:
    made = net()
    made.graph.node[1].output[0] = made.graph.node[2].input[0] = "QQQQ"
    return renamed(made)


@model
def output_name_of_bytes() -> bytes:
    return renamed(net([helper.make_node("Relu", [SCORES], ["QQQQ"])], [value("QQQQ")]))


@model
def size_name_of_bytes() -> bytes:
    """The names of the batch."""
    made = net()
    for each in (*made.graph.input, *made.graph.output):
        each.type.tensor_type.shape.dim[0].dim_param = "QQQQ"
    return renamed(made)


@model
def texts_of_bytes() -> bytes:
    """Ours by its word, and what it says of itself is no text."""
    made = net()
    made.producer_name = "resnetgen"
    made.graph.node[0].doc_string = "QQQQ"
    for key in ("resnetgen.spec", "resnetgen.precision", "QQQQ"):
        made.metadata_props.add(key=key, value="QQQQ")
    return renamed(made)


@model
def metadata_of_another() -> ModelProto:
    made = net()
    for key, text in (("spec", "resnet50"), ("params", '{"classes": 1e999}'), ("seed", "-1"), ("input", "3x8")):
        made.metadata_props.add(key=f"resnetgen.{key}", value=text)
    return made


@model
def names_that_drive_a_terminal() -> ModelProto:
    name = "\x1b[31mred\n\u202e" + "y" * 5000
    return net([helper.make_node("Relu", [SCORES], [name], name='"\x07\\')], [value(name)])


# What is wrong, and what is too much


@model
def unknown_op() -> ModelProto:
    return last("Resnet")


@model
def unknown_domain() -> ModelProto:
    return net([helper.make_node("Op", [SCORES], ["y"], domain="com.example")], [value("y")], domains=["com.example"])


@model
def opset_of_tomorrow() -> ModelProto:
    return net(opset=999)


@model
def another_type_than_declared() -> ModelProto:
    return last("Relu", INT64)


@model
def circle() -> ModelProto:
    return net([helper.make_node("Add", [SCORES, "y"], ["y"])], [value("y")])


@model
def missing_tensor() -> ModelProto:
    return net([helper.make_node("Add", [SCORES, "gone"], ["y"])], [value("y")])


@model
def no_output() -> ModelProto:
    made = net()
    del made.graph.output[:]
    return made


@model
def output_that_no_node_makes() -> ModelProto:
    return net(outputs=[value("gone")])


@model
def calls_itself() -> ModelProto:
    node = helper.make_node("Loop", ["a"], ["b"], domain="local")
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "Loop", ["a"], ["b"], [node], imports)
    call = helper.make_node("Loop", [SCORES], ["y"], domain="local")
    return net([call], [value("y")], functions=[function], domains=["local"])


@model
def division_by_zero() -> ModelProto:
    cast = helper.make_node("Cast", [SCORES], ["i"], to=TensorProto.INT32)
    nodes = [cast, helper.make_node("Sub", ["i", "i"], ["z"]), helper.make_node("Div", ["i", "z"], ["y"])]
    return net(nodes, [value("y", TensorProto.INT32)])


@model
def terabytes() -> ModelProto:
    """A tensor of 2^43 bytes."""
    nodes = [helper.make_node("ConstantOfShape", ["to"], ["c"]), helper.make_node("ReduceMax", ["c"], ["m"])]
    nodes.append(helper.make_node("Add", [SCORES, "m"], ["y"]))
    return net(nodes, [value("y")], weights=[tensor("to", [1 << 41, 1], "i8")])


@model
def external_data_elsewhere() -> ModelProto:
    return external("../weights")


@model
def external_data_missing() -> ModelProto:
    return external("weights")


def external(location: str) -> ModelProto:
    made = net()
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, text in (("location", location), ("offset", "0"), ("length", str(4 * 4 * 27))):
        weight.external_data.add(key=key, value=text)
    return made


@model
def truncated() -> bytes:
    return net().SerializeToString()[:-200]


@model
def text() -> bytes:
    return b"This is no model.\n"


@model
def nothing() -> bytes:
    return b""


def content(name: str) -> bytes:
    """The bytes of a model's file."""
    made = MODELS[name]()
    return made if isinstance(made, bytes) else made.SerializeToString()
