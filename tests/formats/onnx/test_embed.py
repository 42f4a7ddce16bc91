"""Preprocessing inside an ONNX model: what it computes, and that translation validation reads it back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from resnetgen.formats.onnx.lower import Names
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.preprocess import Color, Interpolation, Preprocess
from resnetgen.weights.source import Array
from support.helpers import OnnxModel, cells, error, on_onnxruntime, on_reference_evaluator, random_weights, write_onnx

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def preprocess(color: str, divide: float, mean: tuple[float, ...], std: tuple[float, ...]) -> Preprocess:
    return Preprocess(Color(color), divide, mean, std, None, (11, 9), Interpolation.BILINEAR)


KINDS = {
    "torchvision": preprocess("rgb", 255, MEAN, STD),
    "caffe": preprocess("bgr", 1, (103.939, 116.779, 123.68), (1, 1, 1)),
    "scale alone": preprocess("rgb", 255, (0, 0, 0), (1, 1, 1)),
    "all of bgr": preprocess("bgr", 255, MEAN, STD),
    "gray": preprocess("gray", 255, (0.5,), (0.25,)),
    "nothing": preprocess("rgb", 1, (0, 0, 0), (1, 1, 1)),
}


def write(folder: Path, embed: Preprocess, opset: int = 17, batch: int | None = None) -> OnnxModel:
    graph = cells("3x3, 8 | gap | fc 4", f"{len(embed.mean)}x11x9")
    options = OnnxOptions(opset, batch, embed=embed)
    return write_onnx(graph, random_weights(graph), folder, options, fold=True)


def pixels(embed: Preprocess, batch: int = 2) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (batch, 11, 9, len(embed.mean)), np.uint8)


def by_the_formula(embed: Preprocess, images: npt.NDArray[np.uint8]) -> Array:
    """In float64, channel by channel, from the words of the spec."""
    found = np.empty((len(images), len(embed.mean), 11, 9))
    for channel, letter in enumerate(embed.color if embed.color != "gray" else "r"):
        values = images[..., "rgb".index(letter)].astype(np.float64)
        found[:, channel] = (values / embed.divide - embed.mean[channel]) / embed.std[channel]
    return found.astype(np.float32)


@pytest.mark.parametrize("opset", [9, 13, 17, 21])
@pytest.mark.parametrize("kind", KINDS)
def test_computes_the_formula(kind: str, opset: int, tmp_path: Path) -> None:
    embed = KINDS[kind]
    model = write(tmp_path, embed, opset)
    plain = write_onnx(model.graph, model.weights, tmp_path, OnnxOptions(opset))
    images = pixels(embed)
    wanted = on_onnxruntime(plain.path, by_the_formula(embed, images))
    assert error(on_onnxruntime(model.path, images), wanted) < 1e-6  # type: ignore[arg-type]
    assert error(on_reference_evaluator(model.path, images), wanted) < 1e-6  # type: ignore[arg-type]
    onnx.checker.check_model(str(model.path), full_check=True)
    assert differences(model, model.path) == []


def differences(model: OnnxModel, path: Path) -> list[str]:
    return validate(path, model.graph, model.plan, model.options, model.checksums)


def test_input_is_bytes_in_the_images_own_layout(tmp_path: Path) -> None:
    source = onnx.load(str(write(tmp_path, KINDS["torchvision"]).path)).graph.input[0]
    dims = [dim.dim_param or dim.dim_value for dim in source.type.tensor_type.shape.dim]
    assert (source.type.tensor_type.elem_type, dims) == (TensorProto.UINT8, ["N", 11, 9, 3])


def test_names_and_batch(tmp_path: Path) -> None:
    graph = cells("gap", "3x11x9")
    options = OnnxOptions(batch=5, names=Names("images", "logits"), embed=KINDS["caffe"])
    model = write_onnx(graph, random_weights(graph), tmp_path, options)
    assert differences(model, model.path) == []
    assert onnx.load(str(model.path)).graph.input[0].name == "images"
    assert on_onnxruntime(model.path, pixels(KINDS["caffe"], 5)).shape == (5, 3, 1, 1)  # type: ignore[arg-type]


# Changed


def node(proto: ModelProto, kind: str) -> onnx.NodeProto:
    return next(one for one in proto.graph.node if one.op_type == kind)


def constant(proto: ModelProto, name: str) -> TensorProto:
    return next(one for one in proto.graph.initializer if one.name == name)


def swapped_colors(proto: ModelProto) -> None:
    constant(proto, "data.order").int64_data[:] = [0, 1, 2]


def a_channel_twice(proto: ModelProto) -> None:
    constant(proto, "data.order").int64_data[:] = [2, 1, 1]


def no_swap(proto: ModelProto) -> None:
    node(proto, "Cast").input[0] = "data/transpose"
    proto.graph.node.remove(node(proto, "Gather"))


def wrong_mean(proto: ModelProto) -> None:
    constant(proto, "data.mean").float_data[1] += 0.01


def swapped_means(proto: ModelProto) -> None:
    values = list(constant(proto, "data.mean").float_data)
    constant(proto, "data.mean").float_data[:] = values[::-1]


def wrong_scale(proto: ModelProto) -> None:
    constant(proto, "data.scale").float_data[2] *= 1.00001


def broken_scale(proto: ModelProto) -> None:
    constant(proto, "data.scale").float_data[0] = float("nan")


def mean_after_scale(proto: ModelProto) -> None:
    sub, mul = node(proto, "Sub"), node(proto, "Mul")
    sub.input[1], mul.input[1] = mul.input[1], sub.input[1]


def added_mean(proto: ModelProto) -> None:
    node(proto, "Sub").op_type = "Add"


def other_layout(proto: ModelProto) -> None:
    """Height and width change places."""
    node(proto, "Transpose").attribute[0].ints[:] = [0, 3, 2, 1]


def planar_input(proto: ModelProto) -> None:
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for dim, extent in zip(dims[1:], (3, 11, 9), strict=True):
        dim.dim_value = extent


def floats_in(proto: ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def signed_bytes(proto: ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8


def cast_to_half(proto: ModelProto) -> None:
    node(proto, "Cast").attribute[0].i = TensorProto.FLOAT16


def no_cast(proto: ModelProto) -> None:
    node(proto, "Sub").input[0] = "data/gather"
    proto.graph.node.remove(node(proto, "Cast"))


def one_mean_for_all(proto: ModelProto) -> None:
    constant(proto, "data.mean").CopyFrom(helper.make_tensor("data.mean", TensorProto.FLOAT, (1, 1, 1), [103.0]))


def means_by_column(proto: ModelProto) -> None:
    constant(proto, "data.mean").dims[:] = [1, 1, 3]


def network_before_the_norm(proto: ModelProto) -> None:
    """The first convolution reads what is not normalised yet."""
    node(proto, "Conv").input[0] = "data/sub"


MEANINGS: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    "swapped colours": (swapped_colors, "the channels of an image are put in the order (0, 1, 2), not bgr"),
    "a channel twice": (a_channel_twice, "a channel of the image is left out or taken twice"),
    "no swap": (no_swap, "the channels of an image are put in the order (0, 1, 2), not bgr"),
    "wrong mean": (wrong_mean, "in channel 1 a pixel of "),
    "swapped means": (swapped_means, "in channel 0 a pixel of "),
    "wrong scale": (wrong_scale, "in channel 2 a pixel of "),
    "broken scale": (broken_scale, "in channel 0 a pixel of "),
    "mean after scale": (mean_after_scale, "in channel 0 a pixel of "),
    "added mean": (added_mean, "Add"),
    "other layout": (other_layout, "does not put the bytes of an image in order"),
    "planar input": (planar_input, "not images of 1 or 3 channels"),
    "floats in": (floats_in, "unsupported layer: Transpose (node data/transpose)"),
    "signed bytes in": (signed_bytes, "input is of type int8, not float32 or float16"),
    "cast to half": (cast_to_half, "does not put the bytes of an image in order"),
    "no cast": (no_cast, "does not put the bytes of an image in order"),
    "one mean for all": (one_mean_for_all, "Sub"),
    "means by column": (means_by_column, "Sub"),
    "network before the norm": (network_before_the_norm, ""),
}


@pytest.mark.parametrize("change", MEANINGS)
def test_changed_model_is_noticed(change: str, tmp_path: Path) -> None:
    """By its meaning: more is said than that the file differs from what was planned."""
    model = write(tmp_path, KINDS["all of bgr"])
    proto = onnx.load(str(model.path))
    edit, said = MEANINGS[change]
    edit(proto)
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(proto.SerializeToString())
    found = [line for line in differences(model, changed) if line != "the file says something else than was planned"]
    assert any(said in line for line in found), found


def test_embedded_or_not(tmp_path: Path) -> None:
    embedded = write(tmp_path, KINDS["torchvision"])
    plain = write_onnx(embedded.graph, embedded.weights, tmp_path)
    assert "it preprocesses images, which it should not" in differences(plain, embedded.path)
    assert "it takes values where it should preprocess images" in differences(embedded, plain.path)


def test_every_value_of_a_constant_counts(tmp_path: Path) -> None:
    model = write(tmp_path, KINDS["all of bgr"])
    whole = onnx.load(str(model.path))
    for name in ("data.mean", "data.scale"):
        for channel in range(3):
            proto = ModelProto.FromString(whole.SerializeToString())
            one = constant(proto, name)
            values = numpy_helper.to_array(one).copy()
            values.flat[channel] *= 1.00001
            one.CopyFrom(helper.make_tensor(name, TensorProto.FLOAT, values.shape, values.ravel().tolist()))
            changed = tmp_path / "changed.onnx"
            changed.write_bytes(proto.SerializeToString())
            assert any(line.startswith(f"in channel {channel} ") for line in differences(model, changed))
