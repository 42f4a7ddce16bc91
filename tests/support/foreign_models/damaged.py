"""Models with hostile names and texts, and models that are wrong or too much."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, helper

from support.foreign_models.build import (
    INT64,
    SCORES,
    last,
    model,
    net,
    tensor,
    value,
)

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
