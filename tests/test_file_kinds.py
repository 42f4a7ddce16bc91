"""Weight files by their first bytes, and the types of their values."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from resnetgen.errors import Exit, Failure, Problem
from resnetgen.weights.checkpoint import open_checkpoint

AGAIN = "with torch 1.6 or newer, torch.save(torch.load(FILE, weights_only=True), NEW) writes it anew"
KERAS = "write its weights as .npz or .safetensors with the library that wrote it"
UNPACK = "unpack it first"
PAGE = "download the file itself"

FOREIGN = [
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "it is of torch's older format, a bare pickle", AGAIN),
    (bytes(257) + b"ustar", "it is a tar archive, torch's oldest format if it holds tensors", AGAIN),
    (b"\x80\x04", "it is a Python pickle, which is not read: a pickle can do anything", AGAIN),
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
    (b'name: "ResNet-50"\n', "it is a prototxt, which holds no weights", "give the .caffemodel beside it"),
    (b"", "it is empty", "weights are read from .caffemodel, .onnx, .safetensors, torch's .pth and numpy's .npz"),
]


def refused(path: Path) -> Problem:
    with pytest.raises(Failure) as caught:
        open_checkpoint(path)
    assert caught.value.exit is Exit.MODEL
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
        tensor = numpy_helper.from_array(values, "x")
    else:
        tensor = helper.make_tensor("x", NUMBERS[dtype], values.shape, values.ravel().tolist())
    assert tensor.data_type == NUMBERS[dtype]
    model = helper.make_model(helper.make_graph([], "net", [], [], [tensor]))
    path = tmp_path / "weights"
    path.write_bytes(model.SerializeToString())
    read = open_checkpoint(path)
    (entry,) = read.entries.values()
    assert (entry.dtype, entry.shape) == (dtype, (1, 3))
    found = read.array("x")
    assert found.dtype == kind
    assert np.array_equal(found.reshape(1, 3), values)


@pytest.mark.parametrize("dtype", sorted(NUMBERS))
def test_types_of_npz(dtype: str, tmp_path: Path) -> None:
    values = np.array([[0, 1, 3]], dtype)
    np.savez(tmp_path / "w.npz", x=values)
    read = open_checkpoint(tmp_path / "w.npz")
    assert read.entries["x"].dtype == dtype
    assert np.array_equal(read.array("x").reshape(1, 3), values)
