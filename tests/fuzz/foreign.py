"""Images and models that others wrote, for the folders that commands are run in."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image


@cache
def images() -> dict[str, bytes]:
    """Images of several formats and modes, and a text that other programs would be started for."""
    pixels = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    picture = Image.fromarray(pixels)
    found = {f"i.{kind}": _saved(picture, kind) for kind in ("png", "jpeg", "gif", "bmp", "webp", "tiff")}
    found["grey.png"] = _saved(picture.convert("L"), "png")
    found["deep.png"] = _saved(Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "png")
    found["float.tiff"] = _saved(Image.fromarray(pixels[..., 0].astype(np.float32)), "tiff")
    found["palette.png"] = _saved(picture.convert("P"), "png")
    found["text.jpg"] = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"
    return found


def _saved(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@cache
def models() -> dict[str, bytes]:
    """Models of other exporters: outputs of other types, values without a batch, several outputs, integers inside."""
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4, 4])

    def model(nodes: Sequence[onnx.NodeProto], *outputs: onnx.ValueInfoProto) -> bytes:
        graph = helper.make_graph(nodes, "foreign", [image], outputs)
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()

    def out(name: str, kind: int, *shape: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    number = helper.make_tensor("zero", TensorProto.INT64, [], [0])
    flatten = [
        helper.make_node("Constant", [], ["zero"], value=number),
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Constant", [], ["one"], value=helper.make_tensor("one", TensorProto.INT64, [1], [-1])),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"]),
        helper.make_node("Concat", ["n1", "one"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["y"]),
    ]
    axis = helper.make_node("Constant", [], ["axis"], value=helper.make_tensor("axis", TensorProto.INT64, [1], [0]))
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)
    return {
        "flatten": model([axis, *flatten], out("y", TensorProto.FLOAT, "N", 48)),
        "strings": model([cast], out("y", TensorProto.STRING, "N", 3, 4, 4)),
        "bools": model([helper.make_node("Greater", ["x", "x"], ["y"])], out("y", TensorProto.BOOL, "N", 3, 4, 4)),
        "two": model(
            [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("ReduceMean", ["x"], ["z"], keepdims=0)],
            out("y", TensorProto.FLOAT, "N", 3, 4, 4),
            out("z", TensorProto.FLOAT),
        ),
        "argmax": model(
            [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("ArgMax", ["f"], ["y"], axis=1)],
            out("y", TensorProto.INT64, "N", 1),
        ),
    }


def npy(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(0).standard_normal(shape, np.float32))
    return file.getvalue()
