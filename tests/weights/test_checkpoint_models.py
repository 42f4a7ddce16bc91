"""Weights in a caffemodel or an ONNX model, in each way that these files have of storing a tensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from resnetgen.errors import Failure
from resnetgen.formats.caffe.model.schema import message
from resnetgen.weights.checkpoint import open_checkpoint
from support.checkpoint_files import (
    TENSORS,
    blob,
    field,
    layer,
    legacy_blob,
    model,
    opened,
    random,
    same,
    v1_layer,
)
from support.helpers import cells, random_weights, write_caffe, write_onnx

# Caffe


def test_what_we_write_for_caffe(tmp_path: Path) -> None:
    """Against protobuf, which parses the file with Caffe's schema."""
    graph = cells("[3x3, 4; 3x3, 4] x2 | gap | fc 10")
    path = write_caffe(graph, random_weights(graph), tmp_path).caffemodel
    read = open_checkpoint(path)
    layers = [layer for layer in message("NetParameter").FromString(path.read_bytes()).layer if layer.blobs]
    assert read.layers == {layer.name: layer.type for layer in layers}
    assert {"Convolution", "BatchNorm", "Scale", "InnerProduct"} == {*read.layers.values()}
    blobs = {
        f"{layer.name}.{index}": np.float32(blob.data).reshape(tuple(blob.shape.dim))
        for layer in layers
        for index, blob in enumerate(layer.blobs[:2])
    }
    for name, wanted in blobs.items():
        assert np.array_equal(read.array(name), wanted)
    assert list(blobs) == list(read.tensors)


def test_layouts_of_caffe(tmp_path: Path) -> None:
    values = random("float32", 5, 4)
    old = field(1, b"an old net") + v1_layer("fc", 14, legacy_blob(values)) + v1_layer("relu", 18)
    read = opened(tmp_path / "w", old)
    assert read.layers == {"fc": "InnerProduct"}
    same(read, {"fc.0": values.reshape(1, 1, 5, 4)})
    unpacked = b"".join(b"\x2d" + value.tobytes() for value in values.ravel())
    doubles = values.astype("<f8")
    shape = field(7, field(1, b"\x05\x04"))
    blobs = {
        "legacy": (legacy_blob(values), values.reshape(1, 1, 5, 4)),
        "a field each": (shape + unpacked, values),
        "in pieces": (field(5, values[:2].tobytes()) + shape + field(5, values[2:].tobytes()), values),
        "packed, then a field each": (field(5, values[:2].tobytes()) + unpacked[8 * 5 :] + shape, values),
        "doubles": (shape + field(8, doubles.tobytes()), doubles),
        "doubles, a field each": (shape + b"".join(b"\x41" + v.tobytes() for v in doubles.ravel()), doubles),
        "with gradients": (shape + field(5, values.tobytes()) + field(6, values.tobytes()), values),
        "dims a field each": (field(7, b"\x08\x05\x08\x04") + field(5, values.tobytes()), values),
    }
    for name, (data, wanted) in blobs.items():
        read = opened(tmp_path / "w", field(1, b"n") + layer("l", "InnerProduct", data))
        assert read.array("l.0").tobytes() == wanted.tobytes(), name
        assert read.tensors["l.0"].shape == wanted.shape, name


@pytest.mark.parametrize("factor", [1.0, 0.0, 2.0, 999.98236])
def test_statistics_are_divided_by_their_factor(factor: float, tmp_path: Path) -> None:
    mean, variance = random("float32", 4), random("float32", 4)
    data = layer("bn", "BatchNorm", *(blob(v) for v in (mean, variance, np.float32([factor]))))
    read = opened(tmp_path / "w", data)
    assert list(read.tensors) == ["bn.0", "bn.1"]
    with np.errstate(all="ignore"):
        for name, values in (("bn.0", mean), ("bn.1", variance)):
            found = read.array(name)
            if factor == 1:
                assert np.array_equal(found, values)
            else:
                wanted = values / np.float32(factor) if factor else np.zeros(4, np.float32)
                np.testing.assert_allclose(found, wanted, rtol=2e-7)


# ONNX


ONNX_TYPES = ["float32", "float16", "float64", "int64", "int32", "int8", "uint8", "uint64"]


@pytest.mark.parametrize("dtype", ONNX_TYPES)
@pytest.mark.parametrize("is_raw", [False, True])
def test_what_onnx_writes(dtype: str, is_raw: bool, tmp_path: Path) -> None:
    values = random(dtype, 4, 3, 2)
    number = onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
    held = values.tobytes() if is_raw else values.ravel()
    written = onnx.helper.make_tensor("w", number, values.shape, held, raw=is_raw)
    read = opened(tmp_path / "w", model(written))
    assert read.array("w").tobytes() == onnx.numpy_helper.to_array(written).tobytes()
    same(read, {"w": values})


def test_what_we_write_for_onnx(tmp_path: Path) -> None:
    graph = cells("[3x3, 4; 3x3, 4] x2 | gap | fc 10")
    path = write_onnx(graph, random_weights(graph), tmp_path).path
    wanted = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert len(wanted) > 5
    same(open_checkpoint(path), wanted)


def test_external_data(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph([], "g", [], [], [onnx.numpy_helper.from_array(v, n) for n, v in TENSORS.items()])
    path = tmp_path / "m.onnx"
    beside = {"save_as_external_data": True, "location": "m.data", "size_threshold": 0}
    onnx.save(onnx.helper.make_model(graph), str(path), **beside)  # type: ignore[arg-type]
    read = open_checkpoint(path)
    same(read, TENSORS)
    assert read.tensors["conv1.weight"].file == "m.data"
    path.with_name("m.data").write_bytes(b"")
    with pytest.raises(Failure, match=r"ends beyond m\.data, which has 0 bytes"):
        open_checkpoint(path)
