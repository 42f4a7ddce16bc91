"""Weight files of every format; each array is read as well."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fuzz import built
from fuzz.mutate import wire
from fuzz.mutate.archive import Archive, Header, opcodes, random_steps
from fuzz.mutate.octets import mostly
from fuzz.mutate.tokens import Tokens
from fuzz.target import MIB, Target
from resnetgen.cli.exits import Exit
from resnetgen.errors import Code, ModelError
from resnetgen.verification import npy
from resnetgen.weights.checkpoint import open_checkpoint
from resnetgen.weights.checkpoint.pickle_vm import BadPickle, load
from support.checkpoint_files import CAFFE, FILES, TENSORS, blob, field, layer, legacy_blob, v1_layer

_MEMORY = 40 * MIB
_MAX_TEXT = 3000
_EXITS = frozenset({Exit.MODEL})


def parse_checkpoint(data: bytes, folder: Path) -> None:
    path = folder / "weights"
    path.write_bytes(data)
    read = open_checkpoint(path)
    for name, entry in read.tensors.items():
        assert read.array(name).shape == entry.shape


def parse_npy(data: bytes, folder: Path) -> None:
    path = folder / "saved.npy"
    path.write_bytes(data)
    npy.load(path)


def parse_pickle(data: bytes, folder: Path) -> None:
    """The machine alone, without an archive around it."""
    try:
        load(data, {"a.b": lambda *_: 1}, {}, lambda _: 2)
    except BadPickle as error:
        raise ModelError.of(Code.BAD_MODEL, str(error)) from None


def caffemodel_seeds() -> list[bytes]:
    old = v1_layer("conv1", 4, legacy_blob(CAFFE["conv1.0"])) + v1_layer("fc", 14, legacy_blob(CAFFE["fc.0"]))
    statistics = np.ones(4, np.float32)
    norm = layer("bn", "BatchNorm", blob(statistics), blob(statistics), blob(np.full(1, 2, np.float32)))
    return [FILES["caffemodel"], old, field(1, b"a net") + norm, *built.files(".caffemodel")]


def safetensors_seeds() -> list[bytes]:
    return [FILES["safetensors"]]


def torch_seeds() -> list[bytes]:
    return [FILES["torch"]]


def npz_seeds() -> list[bytes]:
    return [FILES["npz"], FILES["npz, deflated"]]


def onnx_seeds() -> list[bytes]:
    return [FILES["onnx"], *built.files(".onnx")]


def npy_seeds() -> list[bytes]:
    return [_npy(TENSORS["conv1.weight"]), _npy(np.asfortranarray(TENSORS["fc.weight"])), _npy(np.float16(1))]


def pickle_seeds() -> Sequence[bytes]:
    return [b"."]


def _npy(values: object) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


_JSON = Tokens(
    (b'"dtype"', b'"shape"', b'"data_offsets"', b'"F32"', b'"BF16"', b'"BOOL"', b"[", b"]", b"{", b"}", b":")
)
_NPY = Tokens((b"'descr'", b"'fortran_order'", b"'shape'", b"True", b"False", b"'<f4'", b"'|O'", b"'>i8'", b"(", b")"))
_NPY_HEADER = mostly(Header(8, 2, _NPY))

CHECKPOINTS = tuple(
    Target(name, parse, seeds, mutate, _EXITS, _MEMORY, _MAX_TEXT)
    for name, parse, seeds, mutate in (
        ("caffemodel", parse_checkpoint, caffemodel_seeds, mostly(wire.mutate)),
        ("safetensors", parse_checkpoint, safetensors_seeds, mostly(Header(0, 8, _JSON))),
        ("torch", parse_checkpoint, torch_seeds, mostly(Archive("data.pkl", opcodes))),
        ("npz", parse_checkpoint, npz_seeds, mostly(Archive(".npy", _NPY_HEADER))),
        ("onnx-weights", parse_checkpoint, onnx_seeds, mostly(wire.mutate)),
        ("npy", parse_npy, npy_seeds, _NPY_HEADER),
        ("pickle", parse_pickle, pickle_seeds, random_steps),
    )
)
