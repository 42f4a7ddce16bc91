"""Weight files by their first bytes, and the types of their values."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import pickletools
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure, Problem
from resnetgen.weights.checkpoint import open_checkpoint
from resnetgen.weights.checkpoint.pickle_vm import load
from support.checkpoint_files import call, glob, opened, pth, safetensors, tensor

AGAIN = "with torch 1.6 or newer, torch.save(torch.load(FILE, weights_only=True), NEW) converts it"
KERAS = "write its weights as .npz or .safetensors with the library that wrote it"
UNPACK = "unpack it first"
PAGE = "download the file itself"

FOREIGN = [
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "it is of torch's older format, a bare pickle", AGAIN),
    (bytes(257) + b"ustar", "it is a tar archive, torch's oldest format if it holds tensors", AGAIN),
    (b"\x80\x04", "it is a Python pickle, which is not read: it can run any code", AGAIN),
    (b"\x89HDF\r\n\x1a\n", "it is an HDF5 file, such as Keras writes", KERAS),
    (b"\x1c\0\0\0TFL3", "it is a TensorFlow Lite model", KERAS),
    (b"GGUF\3\0\0\0", "it is a GGUF file", KERAS),
    (b"\x93NUMPY\1\0", "it is a single array (.npy)", "np.savez(NEW, **{name: array}) gives it a name"),
    (gzip.compress(b"weights"), "it is compressed by gzip", UNPACK),
    (bytes.fromhex("28b52ffd0458"), "it is compressed by Zstandard", UNPACK),
    (bz2.compress(b"weights"), "it is compressed by bzip2", UNPACK),
    (lzma.compress(b"weights"), "it is compressed by xz", UNPACK),
    (bytes.fromhex("377abcaf271c0004"), "it is a 7z archive", UNPACK),
    (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS, not the file", "git lfs pull"),
    (b"<!DOCTYPE html><html>", "it is a web page", PAGE),
    (b"<!doctype html><html>", "it is a web page", PAGE),
    (b"<html><head>", "it is a web page", PAGE),
    (b'name: "ResNet-50"\n', "it is a prototxt, which has no weights", "name the .caffemodel next to it"),
    (b"", "it is empty", "weights are read from .caffemodel, .onnx, .safetensors, torch's .pth and numpy's .npz"),
]


def refused(path: Path) -> Problem:
    with pytest.raises(Failure) as caught:
        open_checkpoint(path)
    assert exit_code(caught.value) is Exit.MODEL
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(("head", "what", "hint"), FOREIGN, ids=[one[1] for one in FOREIGN])
def test_what_is_no_checkpoint(head: bytes, what: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(head)
    problem = refused(path)
    assert problem.message == f"{path}: {what}"
    assert problem.hint == hint


def test_a_zip_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    problem = refused(path)
    assert problem.message == f"{path}: it is a zip file, but holds neither torch's tensors nor numpy's arrays"


NUMBERS = {
    "float32": TensorProto.FLOAT,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "uint16": TensorProto.UINT16,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
}


@pytest.mark.parametrize("raw", [True, False], ids=["bytes", "numbers"])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_types_of_onnx(dtype: str, raw: bool, tmp_path: Path) -> None:
    """The numbers of the types are ONNX's own; the largest and the smallest value come back as they are."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        values = np.array([[True, False, True]])
    elif kind.kind == "f":
        values = np.array([[1.5, -2.25, np.finfo(kind).max]], kind)
    else:
        values = np.array([[0, np.iinfo(kind).min, np.iinfo(kind).max]], kind)
    if raw:
        proto = numpy_helper.from_array(values, "x")
    else:
        proto = helper.make_tensor("x", NUMBERS[dtype], values.shape, values.ravel().tolist())
    assert proto.data_type == NUMBERS[dtype]
    model = helper.make_model(helper.make_graph([], "net", [], [], [proto]))
    path = tmp_path / "weights"
    path.write_bytes(model.SerializeToString())
    read = open_checkpoint(path)
    (entry,) = read.tensors.values()
    assert (entry.dtype, entry.shape) == (dtype, (1, 3))
    found = read.array("x")
    assert found.dtype == kind
    assert np.array_equal(found.reshape(1, 3), values)


@pytest.mark.parametrize("dtype", sorted(NUMBERS))
def test_types_of_npz(dtype: str, tmp_path: Path) -> None:
    values = np.array([[0, 1, 3]], dtype)
    np.savez(tmp_path / "w.npz", x=values)
    read = open_checkpoint(tmp_path / "w.npz")
    assert read.tensors["x"].dtype == dtype
    assert np.array_equal(read.array("x").reshape(1, 3), values)


STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
"""torch's own names for the types of its storages."""


@pytest.mark.parametrize("kind", STORAGES)
@pytest.mark.parametrize("order", ["little", "big"])
def test_types_of_torch(kind: str, order: str, tmp_path: Path) -> None:
    values = np.array([[0, 1, 3]], STORAGES[kind])
    data = values.astype(values.dtype.newbyteorder("<" if order == "little" else ">")).tobytes()
    read = opened(tmp_path / "w.pth", pth({"x": tensor(kind, "0", 3, (1, 3))}, {"0": data}, order))
    assert read.tensors["x"].dtype == STORAGES[kind]
    assert np.array_equal(read.array("x").reshape(1, 3), values)


SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BOOL": "bool",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
}
"""The words of the format's own page."""


@pytest.mark.parametrize("word", SAFETENSORS)
def test_types_of_safetensors(word: str, tmp_path: Path) -> None:
    values = np.array([[0, 1, 3]], SAFETENSORS[word])
    header = {"x": {"dtype": word, "shape": [1, 3], "data_offsets": [0, values.nbytes]}}
    read = opened(tmp_path / "w", safetensors(header, values.tobytes()))
    assert read.tensors["x"].dtype == SAFETENSORS[word]
    assert np.array_equal(read.array("x").reshape(1, 3), values)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol(protocol: int) -> None:
    """Python writes the same values in other steps: texts and bytes as Python 2 did, memos by number or by order."""
    text = "a text that is written once"
    value = {
        "a": [1, -1, 300, 70_000, 2**40, -(2**70)],
        "b": (text, text, 1.5, True, False, None),
        "c": (),
        "d": [[], {}],
    }
    assert load(pickle.dumps(value, protocol), {}, {}, lambda key: key) == value


@pytest.mark.parametrize(
    ("steps", "value"),
    [
        (b"S'text'\n.", "text"),  # STRING
        (b"T\x04\0\0\0text.", "text"),  # BINSTRING
        (b"U\x04text.", "text"),  # SHORT_BINSTRING
        (b"(lp0\nI1\naI2\na.", [1, 2]),  # LIST, PUT, INT, APPEND
        (b"(I1\nI2\nt.", (1, 2)),  # TUPLE
        (b"(I1\nI2\nd.", {1: 2}),  # DICT
        (b"I1\n2\x86.", (1, 1)),  # DUP, TUPLE2
        (b"I1\nI2\n0.", 1),  # POP
        (b"I1\n(I2\nI3\n1.", 1),  # POP_MARK
        (b"]\x94I1\na0h\0.", [1]),  # MEMOIZE, BINGET
    ],
)
def test_steps_of_a_pickle(steps: bytes, value: object) -> None:
    assert pickletools.genops(steps)
    assert load(steps, {}, {}, lambda key: key) == value


def test_long_names_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of the second
        with zipfile.ZipFile(path, "w") as archive:
            for _ in range(2):
                archive.writestr("n" * 300, b"")
    assert refused(path).message == f"{path}: two members are called {'n' * 200!r}"


def test_a_file_without_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors({}, b""))
    assert refused(path).message == f"{path}: it holds no weights"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i4", "i8", "u2"])
def test_byte_orders_of_npz(dtype: str, order: str, tmp_path: Path) -> None:
    values = np.array([[0, 1, 258]], order + dtype)
    np.savez(tmp_path / "w.npz", x=values)
    found = open_checkpoint(tmp_path / "w.npz").array("x")
    assert found.dtype == np.dtype(dtype)
    assert np.array_equal(found.reshape(1, 3), values)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numbers_of_numpy_beside_tensors(module: str, tmp_path: Path) -> None:
    """A best accuracy, say, as numpy 1 and numpy 2 pickle it: no tensor, and no reason to refuse the file."""
    number = call(glob(module, "scalar"), call(glob("numpy", "dtype"), "f8", False, True), "x" * 8)
    value = {"best": number, "state_dict": {"x": tensor("FloatStorage", "0", 3, (3,))}}
    read = opened(tmp_path / "w.pth", pth(value, {"0": np.arange(3, dtype=np.float32).tobytes()}))
    assert read.array("x").tolist() == [0, 1, 2]
