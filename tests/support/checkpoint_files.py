"""Weight files made by hand, byte by byte: what the libraries write, and what they never would."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from resnetgen.formats.caffe.model.schema import message
from resnetgen.weights.checkpoint import Checkpoint, open_checkpoint
from resnetgen.weights.checkpoint.safetensors import DTYPES
from resnetgen.wire.fields import delimited, varint

Values = npt.NDArray[Any]


def random(dtype: str, *shape: int) -> Values:
    """Values of which no two are alike to a reader that gets their order or their size wrong."""
    bits = np.random.default_rng(len(shape)).bytes(int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize)
    values = np.frombuffer(bits, dtype).reshape(shape).copy()
    return values if values.dtype.kind != "f" else np.nan_to_num(values, posinf=1, neginf=-1)


TENSORS = {
    "conv1.weight": random("float32", 4, 3, 2, 2),
    "bn1.running_mean": random("float32", 4),
    "fc.weight": random("float64", 5, 4),
    "fc.bias": random("float16", 5),
    "bn1.num_batches_tracked": np.array(7, np.int64),
    "none": np.zeros((0, 3), np.float32),
}


def opened(path: Path, data: bytes) -> Checkpoint:
    path.write_bytes(data)
    return open_checkpoint(path)


def same(checkpoint: Checkpoint, tensors: Mapping[str, Values]) -> None:
    """The same tensors in the same order, bit by bit, each a new array that may be written to."""
    assert list(checkpoint.tensors) == list(tensors)
    for name, wanted in tensors.items():
        entry, found = checkpoint.tensors[name], checkpoint.array(name)
        assert (entry.name, entry.dtype, entry.shape) == (name, wanted.dtype.name, wanted.shape)
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        assert found.tobytes() == wanted.tobytes(), name
        assert found.flags.c_contiguous
        assert found.flags.writeable
        assert not np.shares_memory(found, checkpoint.array(name)) or not found.size
        if entry.end and not entry.file:
            data = checkpoint.path.read_bytes()[entry.start : entry.end]
            assert data == wanted.tobytes(), name


# safetensors


def safetensors(header: Any, data: bytes, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def safetensors_of(tensors: Mapping[str, Values]) -> bytes:
    names = {dtype: name for name, dtype in DTYPES.items()}
    header, data = {}, b""
    for name, values in tensors.items():
        start = len(data)
        data += values.tobytes()
        header[name] = {
            "dtype": names[values.dtype.name],
            "shape": values.shape,
            "data_offsets": (start, len(data)),
        }
    return safetensors(header, data)


# numpy


def npz_of(tensors: Mapping[str, Values], compressed: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **dict(tensors))
    return file.getvalue()


def zip_of(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


# torch


@dataclass(frozen=True)
class Raw:
    """Opcodes as they stand."""

    opcodes: bytes


def glob(module: str, name: str) -> Raw:
    return Raw(b"c" + f"{module}\n{name}\n".encode())


def call(function: Raw, *arguments: Any) -> Raw:
    return Raw(function.opcodes + opcodes(arguments) + b"R")


def storage(kind: str, key: Any, elements: int) -> Raw:
    module, _, name = f"torch.{kind}".rpartition(".")
    return Raw(opcodes(("storage", glob(module, name), key, "cpu", elements)) + b"Q")


def tensor(kind: str, key: Any, elements: int, shape: Sequence[int], strides: Any = None, offset: Any = 0) -> Raw:
    strides = contiguous(shape) if strides is None else strides
    hooks = call(glob("collections", "OrderedDict"))
    where = storage(kind, key, elements)
    return call(glob("torch._utils", "_rebuild_tensor_v2"), where, offset, tuple(shape), strides, False, hooks)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[axis + 1 :], dtype=int)) for axis in range(len(shape)))


def opcodes(value: Any) -> bytes:
    match value:
        case Raw():
            return value.opcodes
        case dict():
            items = b"".join(opcodes(key) + opcodes(item) for key, item in value.items())
            return b"}(" + items + b"u"
        case tuple():
            return b"(" + b"".join(map(opcodes, value)) + b"t"
        case list():
            return b"](" + b"".join(map(opcodes, value)) + b"e"
        case _:  # text and numbers, without the frame of a pickle of their own
            return pickle.dumps(value, 2)[2:-1]


def pickled(value: Any) -> bytes:
    return b"\x80\x02" + opcodes(value) + b"."


KINDS = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage"}


def state(tensors: Mapping[str, Values]) -> tuple[dict[str, Raw], dict[str, bytes]]:
    """A state dict and the storages of its tensors, each with one of its own."""
    values = {
        name: tensor(KINDS[array.dtype.name], str(key), array.size, array.shape)
        for key, (name, array) in enumerate(tensors.items())
    }
    return values, {str(key): array.tobytes() for key, array in enumerate(tensors.values())}


def pth(value: Any, storages: Mapping[str, bytes], order: str | None = "little", **more: bytes) -> bytes:
    """`value` pickled, beside its storages; `more` members in the archive."""
    members = {"data.pkl": pickled(value)} | ({"byteorder": order.encode()} if order else {})
    members |= {f"data/{key}": data for key, data in storages.items()} | {"version": b"3\n"} | more
    return zip_of({f"archive/{name}": data for name, data in members.items()})


def pth_of(tensors: Mapping[str, Values]) -> bytes:
    return pth(*state(tensors))


# Caffe


def field(number: int, data: bytes) -> bytes:
    return delimited(number, len(data)) + data


def blob(values: Values) -> bytes:
    """As Caffe writes it today."""
    return bytes(message("BlobProto")(shape={"dim": values.shape}, data=values.ravel()).SerializeToString())


def legacy_blob(values: Values) -> bytes:
    """As Caffe wrote it in 2014: four axes, the first of them 1."""
    axes = (1,) * (4 - values.ndim) + values.shape
    sizes = b"".join(varint(number << 3) + varint(size) for number, size in enumerate(axes, 1))
    return sizes + field(5, values.astype("<f4").tobytes())


def layer(name: str, kind: str, *blobs: bytes) -> bytes:
    return field(100, field(1, name.encode()) + field(2, kind.encode()) + b"".join(field(7, data) for data in blobs))


def v1_layer(name: str, kind: int, *blobs: bytes) -> bytes:
    head = field(2, b"data") + field(3, b"out") + field(4, name.encode()) + varint(5 << 3) + varint(kind)
    return field(2, head + b"".join(field(6, data) for data in blobs))


CAFFE = {
    "conv1.0": random("float32", 4, 3, 2, 2),
    "conv1.1": random("float32", 4),
    "fc.0": random("float32", 5, 4),
}


def caffemodel() -> bytes:
    net = field(1, b"a net") + field(3, b"data") + layer("data", "Input")
    return (
        net
        + layer("conv1", "Convolution", blob(CAFFE["conv1.0"]), blob(CAFFE["conv1.1"]))
        + layer("fc", "InnerProduct", blob(CAFFE["fc.0"]))
    )


# ONNX


def model(*initializers: onnx.TensorProto) -> bytes:
    graph = onnx.helper.make_graph([], "g", [], [], list(initializers))
    return bytes(onnx.helper.make_model(graph).SerializeToString())


def onnx_of(tensors: Mapping[str, Values]) -> bytes:
    return model(*(onnx.numpy_helper.from_array(values, name) for name, values in tensors.items()))


FILES = {
    "safetensors": safetensors_of(TENSORS),
    "npz": npz_of(TENSORS),
    "npz, deflated": npz_of(TENSORS, compressed=True),
    "torch": pth_of(TENSORS),
    "onnx": onnx_of(TENSORS),
    "caffemodel": caffemodel(),
}
"""A small file of each format."""
