"""Networks that compute in fp16: what the files say, what they compute, and what translation validation notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.onnx.lower import FloatTypes
from resnetgen.formats.onnx.number_types import FloatType
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.preprocess import Color, Interpolation, Preprocess
from support.helpers import (
    Changed,
    OnnxModel,
    compile_text,
    error,
    expected,
    image,
    on_onnxruntime,
    on_reference_evaluator,
    random_weights,
    write_onnx,
)

FP16, FP32 = FloatType.FP16, FloatType.FP32
CAST, WHOLE = FloatTypes(FP16, FP32), FloatTypes(FP16, FP16)

NET = """
use: std
name: tiny
input: 3x12x11
stages:
  a: conv 3x3, 4, bias | batchnorm | relu6 | maxpool 3x3, /2, ceil
  b: "[3x3, 4; 3x3, 4] | blurpool /2 | batchnorm | leakyrelu 0.1 | groupnorm groups=2 | channelpad 8"
  c: gap | flatten | fc 5 | softmax
"""
EMBED = Preprocess(Color.BGR, 255, (0.4, 0.5, 0.6), (0.2, 0.2, 0.3), None, (12, 11), Interpolation.BILINEAR)


def write(folder: Path, types: FloatTypes, opset: int = 17, embed: Preprocess | None = None) -> OnnxModel:
    graph = compile_text(NET)
    options = OnnxOptions(opset, types=types, embed=embed)
    return write_onnx(graph, random_weights(graph), folder, options, fold=True)


def differences(model: OnnxModel, path: Path | None = None) -> list[str]:
    return validate(path or model.path, model.graph, model.plan, model.options, model.checksums)


@pytest.mark.parametrize("opset", [11, 13, 17, 21, 23])
@pytest.mark.parametrize("types", [CAST, WHOLE], ids=["cast", "whole"])
def test_computes_the_network(types: FloatTypes, opset: int, tmp_path: Path) -> None:
    """On two engines within the eleven bits of fp16, and not better: it does compute in it."""
    model = write(tmp_path, types, opset)
    assert differences(model) == []
    onnx.checker.check_model(onnx.load(str(model.path)), full_check=True)
    graph = compile_text(NET)
    data = image(graph, batch=2)
    wanted = expected(graph, random_weights(graph), data)
    given = data.astype(types.outer.dtype)
    found = on_onnxruntime(model.path, given)
    assert found.dtype == types.outer.dtype
    assert 1e-7 < error(found, wanted) < 5e-3
    if opset < 23:  # the reference evaluator lacks a kernel or two above
        # It keeps every sum in fp16, those of a norm's variance too, where ONNX Runtime has more bits.
        assert 1e-7 < error(on_reference_evaluator(model.path, given), wanted) < 2e-2


def test_half_the_size(tmp_path: Path) -> None:
    half, whole = write(tmp_path, CAST), write(tmp_path, FloatTypes())
    assert 2 * half.plan.payload == whole.plan.payload
    kinds = {tensor.data_type for tensor in onnx.load(str(half.path)).graph.initializer}
    assert kinds == {TensorProto.FLOAT16, TensorProto.INT64}


def test_takes_bytes(tmp_path: Path) -> None:
    """The preprocessing is computed in fp32: a mean of 103.939 has more than eleven bits."""
    model = write(tmp_path, CAST, embed=EMBED)
    assert differences(model) == []
    pixels = np.random.default_rng(0).integers(0, 256, (2, 12, 11, 3), np.uint8)
    values = ((pixels[..., ::-1] / 255 - np.array(EMBED.mean)) / np.array(EMBED.std)).transpose(0, 3, 1, 2)
    graph = compile_text(NET)
    assert error(on_onnxruntime(model.path, pixels), expected(graph, random_weights(graph), values)) < 5e-3


def test_external(tmp_path: Path) -> None:
    graph = compile_text(NET)
    model = write_onnx(graph, random_weights(graph), tmp_path, OnnxOptions(types=CAST), fold=True, limit=1000)
    assert model.plan.external
    assert differences(model) == []
    assert np.array_equal(
        on_onnxruntime(model.path, image(graph)), on_onnxruntime(write(tmp_path, CAST).path, image(graph))
    )


# A weight beyond the range


def with_weight(value: float, folder: Path) -> OnnxModel:
    graph = compile_text(NET)
    weights = random_weights(graph)
    large = weights.tensor("c/fc", "weight")
    large[2, 1] = value
    changed = Changed(weights, {("c/fc", "weight"): large})
    return write_onnx(graph, changed, folder, OnnxOptions(types=CAST), fold=True)


def test_beyond_the_range(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        with_weight(-65_520, tmp_path)
    (problem,) = caught.value.problems
    assert exit_code(caught.value) is Exit.MODEL
    assert problem.message == (
        "the range of fp16 ends at 65504, and 1 of the values of c/fc.weight lie beyond it, up to 65520"
    )
    assert str(problem.span) == "net.yaml:8"


@pytest.mark.parametrize("value", [65_504, -65_519, 1e-9, np.inf])
def test_within_the_range(value: float, tmp_path: Path) -> None:
    """65,519 is nearer to 65,504 than to what would come next. What is infinite already, someone allowed."""
    assert differences(with_weight(value, tmp_path)) == []


# What is noticed


def node(proto: ModelProto, kind: str, number: int = 0) -> onnx.NodeProto:
    return [one for one in proto.graph.node if one.op_type == kind][number]


def cast_to(number: int, kind: int) -> Callable[[ModelProto], None]:
    def change(proto: ModelProto) -> None:
        node(proto, "Cast", number).attribute[0].i = kind

    return change


def no_last_cast(proto: ModelProto) -> None:
    last = node(proto, "Cast", -1)
    node(proto, "Softmax").output[0] = last.output[0]
    proto.graph.node.remove(last)


def no_first_cast(proto: ModelProto) -> None:
    first = node(proto, "Cast")
    node(proto, "Conv").input[0] = first.input[0]
    proto.graph.node.remove(first)


def cast_of_two(proto: ModelProto) -> None:
    node(proto, "Cast").attribute.append(helper.make_attribute("saturate", 1))


def whole_weight(proto: ModelProto) -> None:
    held = next(one for one in proto.graph.initializer if one.name == "a/conv.weight")
    held.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(held).astype(np.float32), held.name))


def other_weight(proto: ModelProto) -> None:
    held = next(one for one in proto.graph.initializer if one.name == "a/conv.weight")
    held.raw_data = held.raw_data[:-1] + bytes([held.raw_data[-1] ^ 1])


def whole_constant(proto: ModelProto) -> None:
    held = next(one for one in proto.graph.initializer if one.name.endswith(".blur"))
    held.CopyFrom(helper.make_tensor(held.name, TensorProto.FLOAT, held.dims, [1.0] * int(np.prod(held.dims))))


def other_constant(proto: ModelProto) -> None:
    held = next(one for one in proto.graph.initializer if one.name.endswith(".blur"))
    held.int32_data[0] += 1


def no_half(proto: ModelProto) -> None:
    held = next(one for one in proto.graph.initializer if one.name.endswith(".blur"))
    held.int32_data[0] = 1 << 16


def declared_whole(proto: ModelProto) -> None:
    proto.graph.value_info[2].type.tensor_type.elem_type = TensorProto.FLOAT


CHANGES: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    "first cast to fp32": (cast_to(0, TensorProto.FLOAT), "a/conv is declared as float16 in a network of float32"),
    "first cast to bytes": (cast_to(0, TensorProto.UINT8), "networks compute in float32 and float16"),
    "last cast to fp16": (cast_to(-1, TensorProto.FLOAT16), "its output is declared as fp32, and is fp16"),
    "no last cast": (no_last_cast, "its output is declared as fp32, and is fp16"),
    "no first cast": (no_first_cast, "a/conv is declared as float16 in a network of float32"),
    "a cast that says more": (cast_of_two, "networks compute in float32 and float16"),
    "a weight in fp32": (whole_weight, "it reads float32 in a network of float16"),
    "another weight": (other_weight, "the weight a/conv.weight has changed"),
    "a constant in fp32": (whole_constant, "unsupported layer: Pad (node b/blurpool/padded)"),
    "another constant": (other_constant, ""),
    "a constant of 17 bits": (no_half, "a number does not fit into the 16 bits of float16"),
    "a tensor declared as fp32": (declared_whole, "is declared as float32 in a network of float16"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_model_is_noticed(change: str, tmp_path: Path) -> None:
    model = write(tmp_path, CAST)
    proto = onnx.load(str(model.path))
    edit, said = CHANGES[change]
    edit(proto)
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(proto.SerializeToString())
    found = [line for line in differences(model, changed) if line != "the file says something else than was planned"]
    assert any(said in line for line in found), found


def test_another_precision(tmp_path: Path) -> None:
    cast, whole, single = write(tmp_path, CAST), write(tmp_path, WHOLE), write(tmp_path, FloatTypes())
    assert "it computes in fp16 and gives fp16" in differences(cast, whole.path)
    assert "it computes in fp16 and gives fp32" in differences(single, cast.path)
    assert "it computes in fp32 and gives fp32" in differences(whole, single.path)
