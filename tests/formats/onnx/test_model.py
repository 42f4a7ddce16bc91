"""The model of an ONNX file: attributes by opset, constants in every encoding, names, types and limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.onnx.model import attributes, nodes
from resnetgen.formats.onnx.model.attributes import NEWEST, OLDEST, OPERATORS, SINCE, defaults
from resnetgen.formats.onnx.model.nodes import Unread
from resnetgen.formats.onnx.model.read import OnnxModel, read_model
from support.foreign_models import MODELS, net, tensor, value

TYPES = {int: "INT", float: "FLOAT", str: "STRING", tuple: "INTS"}
"""Type of an attribute here -> in ONNX's schemas."""


def read(folder: Path, proto: ModelProto | bytes, **limits: int) -> OnnxModel:
    path = folder / "model.onnx"
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    return read_model(path, **limits)


def read_all(folder: Path, proto: ModelProto | bytes) -> None:
    model = read(folder, proto)
    _ = model.tensors, model.nodes


# Attributes


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_attributes_are_those_of_the_schemas(operator: str) -> None:
    compared = 0
    for opset in range(OLDEST, NEWEST + 1):
        try:
            schema = onnx.defs.get_schema(operator, opset, "")
        except onnx.defs.SchemaError:
            continue  # the operator is newer
        compared += 1
        assert opset >= SINCE.get(operator, OLDEST)
        own = defaults(operator, opset)
        assert own.keys() == schema.attributes.keys(), opset
        for name, attribute in schema.attributes.items():
            known = own[name] if isinstance(own[name], type) else type(own[name])
            assert attribute.type.name == TYPES[known], (opset, name)
            if attribute.default_value.type:
                default = helper.get_attribute_value(attribute.default_value)
                expected = default.decode() if isinstance(default, bytes) else default
                assert np.float32(own[name]) == np.float32(expected) if known is float else own[name] == expected
            else:
                assert own[name] is known, (opset, name)
    assert compared == NEWEST + 1 - SINCE.get(operator, OLDEST)
    assert onnx.defs.onnx_opset_version() >= NEWEST


def test_a_wrong_default_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the comparison."""
    monkeypatch.setitem(attributes._DEFAULTS, "Flatten", {"axis": 2})
    defaults.cache_clear()
    with pytest.raises(AssertionError):
        test_attributes_are_those_of_the_schemas("Flatten")
    monkeypatch.undo()
    defaults.cache_clear()


def test_what_a_file_leaves_out_is_filled_in(tmp_path: Path) -> None:
    conv, relu, *_ = read(tmp_path, net()).nodes
    assert conv.attributes == {"auto_pad": "NOTSET", "group": 1, "pads": (1, 1, 1, 1)}
    assert (conv.unknown, relu.attributes) == ((), {})
    made = net([helper.make_node("Softmax", ["scores"], ["y"], beta=1.0, axis=1.0)], [value("y")])
    assert read(tmp_path, made).nodes[-1].unknown == ("axis", "beta")
    made = net([helper.make_node("Softmax", ["scores"], ["y"], domain="other", beta=1.0)], [value("y")])
    last = read(tmp_path, made).nodes[-1]
    assert (last.domain, last.attributes, last.unknown) == ("other", {"beta": 1.0}, ())


def test_constants_that_say_what_a_node_does_are_attributes(tmp_path: Path) -> None:
    """As older opsets have them; what is computed stays an input."""
    limits = [tensor("low", 0.0), tensor("high", 6.0)]
    made = net([helper.make_node("Clip", ["scores", "low", "high"], ["y"])], [value("y")], weights=limits)
    clip = read(tmp_path, made).nodes[-1]
    assert (clip.inputs, clip.constants) == (("scores",), ("low", "high"))
    assert (clip.attributes["min"], clip.attributes["max"]) == (0, 6)
    made = net([helper.make_node("Clip", ["scores", "", "high"], ["y"])], [value("y")], weights=limits[1:])
    clip = read(tmp_path, made).nodes[-1]
    assert (clip.inputs, clip.attributes) == (("scores",), {"max": 6})
    made = net([helper.make_node("Clip", ["scores", "", "flat"], ["y"])], [value("y")])
    assert read(tmp_path, made).nodes[-1].inputs == ("scores", "", "flat")


def test_values_that_are_neither_numbers_nor_text(tmp_path: Path) -> None:
    branch = MODELS["branches"]()
    assert isinstance(branch, ModelProto)
    assert isinstance(read(tmp_path, branch).nodes[-1].attributes["then_branch"], Unread)
    long = helper.make_node("Transpose", ["scores"], ["y"], perm=[0] * (nodes._MAX_VALUES + 1))
    assert isinstance(read(tmp_path, net([long], [value("y")])).nodes[-1].attributes["perm"], Unread)


# Constants


HALVES = np.array([1.5, -2, np.inf], np.float16)


def encodings() -> dict[str, tuple[TensorProto, np.ndarray]]:
    floats, ints = np.array([[1.5], [-2]], np.float32), np.array([1, -1, 2**40], np.int64)
    bits = HALVES.view(np.uint16).tolist()
    small = np.array([-3, 4], np.int8)
    return {
        "raw": (numpy_helper.from_array(floats, "c"), floats),
        "a list of floats": (helper.make_tensor("c", TensorProto.FLOAT, (2, 1), floats.ravel()), floats),
        "a list of int64": (helper.make_tensor("c", TensorProto.INT64, (3,), ints), ints),
        "fp16 in int32": (TensorProto(name="c", data_type=TensorProto.FLOAT16, dims=[3], int32_data=bits), HALVES),
        "int8 in int32": (TensorProto(name="c", data_type=TensorProto.INT8, dims=[2], int32_data=[-3, 4]), small),
        "a scalar": (numpy_helper.from_array(np.array(0.5), "c"), np.array(0.5)),
        "doubles": (helper.make_tensor("c", TensorProto.DOUBLE, (1,), [0.1]), np.array([0.1])),
    }


@pytest.mark.parametrize("how", ["initializer", "constant"])
@pytest.mark.parametrize("encoding", encodings())
def test_every_encoding(encoding: str, how: str, tmp_path: Path) -> None:
    proto, values = encodings()[encoding]
    made = net(weights=[proto] if how == "initializer" else [])
    if how == "constant":
        made.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=proto))
    model = read(tmp_path, made)
    found = model.constant("c")
    assert found is not None
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    np.testing.assert_array_equal(found, values)
    assert model.is_constant("c")
    assert "Constant" not in [node.operator for node in model.nodes]


@pytest.mark.parametrize(("kind", "number"), [("FLOAT16", 1 << 16), ("FLOAT16", -1), ("INT8", 200), ("UINT8", -1)])
def test_a_number_that_does_not_fit_its_type(kind: str, number: int, tmp_path: Path) -> None:
    """Not read modulo 2^n, in silence."""
    proto = TensorProto(name="c", data_type=TensorProto.DataType.Value(kind), dims=[1], int32_data=[number])
    with pytest.raises(Failure, match="a number does not fit into the"):
        read(tmp_path, net(weights=[proto])).constant("c")


def test_constants_of_numbers(tmp_path: Path) -> None:
    made = net()
    for name, one in {"value_float": 0.5, "value_floats": [1.5, 2.5], "value_int": 3, "value_ints": [4, 5]}.items():
        made.graph.node.insert(0, helper.make_node("Constant", [], [name], **{name: one}))
    model = read(tmp_path, made)
    found = {name: model.constant(name) for name in ("value_float", "value_floats", "value_int", "value_ints")}
    assert {name: (one.dtype.name, one.tolist()) for name, one in found.items() if one is not None} == {
        "value_float": ("float32", 0.5),
        "value_floats": ("float32", [1.5, 2.5]),
        "value_int": ("int64", 3),
        "value_ints": ("int64", [4, 5]),
    }
    assert model.constant("scores") is None


def test_external_values_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(net(), str(path), save_as_external_data=True, location="data", size_threshold=0)
    model = read_model(path)
    expected = numpy_helper.to_array(net().graph.initializer[0])
    found = model.tensors["conv.weight"]
    assert (found.file, found.dtype, found.shape) == ("data", "float32", expected.shape)
    np.testing.assert_array_equal(found.load(), expected)
    (tmp_path / "data").unlink()
    with pytest.raises(Failure, match="missing"):
        _ = read_model(path).tensors


def test_initializers_that_are_listed_as_inputs(tmp_path: Path) -> None:
    made = MODELS["weights_as_inputs"]()
    assert isinstance(made, ModelProto)
    assert len(made.graph.input) == 3
    (only,) = read(tmp_path, made).inputs
    assert (only.name, only.dtype, only.shape) == ("x", "float32", ("N", 3, 8, 8))


def test_types_that_are_not_read(tmp_path: Path) -> None:
    """They are no obstacle until their values are asked for."""
    made = net(weights=[helper.make_tensor("names", TensorProto.STRING, [1], [b"a"])])
    model = read(tmp_path, made)
    assert model.tensors["names"].dtype == ""
    with pytest.raises(Failure, match=r"is of the type 8 of onnx\.proto, which is not read"):
        model.constant("names")
    outputs = [read(tmp_path, MODELS[name]()).outputs[0] for name in ("sequence", "strings", "scalar", "unknown_shape")]
    assert [(one.dtype, one.shape) for one in outputs] == [
        ("", None),
        ("", ("N", 5)),
        ("float32", ()),
        ("float32", None),
    ]


# What is refused


def test_limits(tmp_path: Path) -> None:
    for limits, message in (({"most_nodes": 4}, "more than 4 nodes"), ({"most_bytes": 100}, "more than 100 bytes")):
        with pytest.raises(Failure, match=message) as caught:
            read(tmp_path, net(), **limits)
        assert exit_code(caught.value) is Exit.LIMIT
    read(tmp_path, net(), most_nodes=5, most_bytes=1000)


def test_values_of_all_constants_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetgen.formats.onnx.model.read.MAX_CONSTANTS", 127)
    model = read(tmp_path, net())
    assert model.constant("conv.weight") is not None
    assert model.constant("conv.weight") is not None, "counted once"
    with pytest.raises(Failure, match="its constants have more than 127 values") as caught:
        model.constant("fc.weight")
    assert exit_code(caught.value) is Exit.LIMIT


REFUSED: dict[str, tuple[Any, str]] = {
    "two of one name": (net(weights=[tensor("fc.weight", [1.0])]), "two weights are called 'fc.weight'"),
    "cut": (net().SerializeToString()[:-200], "only a part of one"),
    "no model": (b"not a model", "it is no ONNX model"),
    "a name that is no text": (MODELS["tensor_name_of_bytes"](), "the name of a tensor is not UTF-8 text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    made, message = REFUSED[case]
    with pytest.raises(Failure, match=message) as caught:
        read_all(tmp_path, made)
    assert exit_code(caught.value) is Exit.MODEL
