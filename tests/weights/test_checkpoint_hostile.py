"""Weight files that are not what they should be: cut, flipped, foreign, hostile. Only errors may come of them, with
exit 4, and neither much memory nor much work. Of pickles: test_checkpoint_pickles.py; of protobuf messages:
test_checkpoint_messages.py.
"""

from __future__ import annotations

import io
import os
import random as rng
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.weights.checkpoint import npz, open_checkpoint
from support.checkpoint_files import (
    FILES,
    TENSORS,
    field,
    layer,
    model,
    npz_of,
    opened,
    safetensors,
    same,
    zip_of,
)
from support.hostile import MEASURED, error, little_memory, read_all, read_back
from support.work import TooMuchWork


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights"


# Cut and flipped


@pytest.mark.parametrize("format", FILES)
def test_cut_at_every_byte(format: str, path: Path) -> None:
    """A protobuf message may be whole where it is cut between two fields; then what is there is right."""
    whole = FILES[format]
    path.write_bytes(whole)
    wanted = read_all(path)
    accepted = 0
    for size in range(len(whole) - 1, -1, -1):
        os.truncate(path, size)
        found = attempt(path)
        if found is not None:
            accepted += 1
            assert found.items() <= wanted.items()
    assert accepted <= (4 if format in ("caffemodel", "onnx") else 0)


FLIPS = 400
CHECKED = ("torch", "npz", "npz, deflated")
"""Formats that hold a checksum of every tensor."""


@pytest.mark.parametrize("format", FILES)
def test_flipped_bits(format: str, path: Path) -> None:
    random = rng.Random(format)
    path.write_bytes(FILES[format])
    wanted = read_all(path)
    for _ in range(FLIPS):
        at, bit = random.randrange(len(FILES[format])), 1 << random.randrange(8)
        with flipped(path, at, bit):
            found = attempt(path)
        if found is not None and format in CHECKED:
            assert sorted(found.values()) == sorted(wanted.values())


@contextmanager
def flipped(path: Path, at: int, bit: int) -> Iterator[None]:
    """With bits of a byte flipped, in place: to write the file anew takes longer than to read it."""
    with path.open("r+b", buffering=0) as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ bit]), at)
        yield
        os.pwrite(file.fileno(), bytes([byte]), at)


def attempt(path: Path) -> dict[str, bytes] | None:
    """What a file holds; None where it is refused, with exit 4."""
    try:
        return read_all(path)
    except Failure as failure:
        if exit_code(failure) is not Exit.MODEL:
            raise
        return None


def test_damaged_values_are_named(path: Path) -> None:
    """By the checksum that the archive has; where the tensor is, too."""
    for format in CHECKED:
        data = bytearray(FILES[format])
        at = data.find(TENSORS["fc.weight"].tobytes())
        if at < 0:
            at = data.find(b"fc.weight.npy") + len(b"fc.weight.npy") + 40
        data[at + 5] ^= 4
        assert "is damaged" in error(path, bytes(data))
    text = error(path, FILES["torch"].replace(TENSORS["fc.weight"].tobytes(), bytes(160)))
    start = FILES["torch"].index(TENSORS["fc.weight"].tobytes())
    assert "the member 'archive/data/2' is damaged" in text
    assert f"(bytes {start:,} to {start + 160:,})" in text


# Foreign


FOREIGN = {
    b"": "it is empty",
    b"name: 'net'\nlayer {}": "it is a prototxt",
    b"version https://git-lfs.github.com/spec/v1\noid": "it is a pointer of Git LFS",
    b"<!DOCTYPE html><html>": "it is a web page",
    b"\x89HDF\r\n\x1a\n" + bytes(100): "it is an HDF5 file",
    b"\x1f\x8b\x08" + bytes(20): "compressed by gzip",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": "torch's older format",
    b"\x80\x04\x95\x00": "it is a Python pickle",
    bytes(257) + b"ustar\x0000": "it is a tar archive",
    b"\x93NUMPY\x01\x00v\x00": "it is a single array",
    b"\x1c\x00\x00\x00TFL3": "a TensorFlow Lite model",
    b"GGUF\x03\x00\x00\x00": "it is a GGUF file",
    b"\x08\x01\x12\x04\x0a\x02ab": "not a supported weight file",  # TensorFlow's saved model
    bytes(1000): "not a supported weight file",
    b"some text": "not a supported weight file",
    zip_of({}): "not a supported weight file",
    zip_of({"config.json": b"{}", "model.weights.h5": b""}): "holds neither torch's tensors nor numpy's arrays",
    field(1, b"a net"): "not a supported weight file",
    field(1, b"a net") + layer("relu", "ReLU"): "it holds no weights",
    field(1, b"a net") + field(2, field(1, b"V0")): "it is a caffemodel of 2013",
    safetensors({}, b""): "it holds no weights",
    model(): "it holds no weights",
    npz_of({}): "not a supported weight file",
}


@pytest.mark.parametrize("data", FOREIGN, ids=range(len(FOREIGN)))
def test_what_else_a_file_may_be(data: bytes, path: Path) -> None:
    assert FOREIGN[data] in error(path, data)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Failure, match="it is a pipe, not a file") as caught:
        open_checkpoint(tmp_path / "pipe")
    assert exit_code(caught.value) is Exit.IO


def test_random_bytes(path: Path) -> None:
    for seed in range(300):
        random = rng.Random(seed)
        error(path, random.randbytes(random.randrange(1, 400)))


# safetensors


def entry(shape: Any = (3,), dtype: Any = "F32", offsets: Any = (0, 12), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets} | more


@pytest.mark.parametrize(
    ("header", "size", "wanted"),
    [
        ({"a": entry()}, 11, "the tensor 'a' ends beyond the file"),
        ({"a": entry()}, 13, "the file continues after its last tensor"),
        ({"a": entry(offsets=(0, 8))}, 8, "the tensor 'a' of 3 float32 holds 8 bytes"),
        ({"a": entry(offsets=(12, 0))}, 12, "ends beyond"),
        ({"a": entry(offsets=(-12, 0))}, 12, "an invalid shape or data_offsets"),
        ({"a": entry(offsets=(0, 2**70))}, 12, "an invalid shape or data_offsets"),
        ({"a": entry(offsets=(0, 12.0))}, 12, "an invalid shape or data_offsets"),
        ({"a": entry(shape=(True, 3))}, 12, "an invalid shape or data_offsets"),
        ({"a": entry(shape=3)}, 12, "an invalid shape or data_offsets"),
        ({"a": entry(shape=(-1, -3))}, 12, "an invalid shape or data_offsets"),
        ({"a": entry(shape=[1] * 17)}, 12, "an invalid shape or data_offsets"),
        ({"a": entry(shape=(2**62, 2**62))}, 12, "holds 12 bytes"),
        ({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}, 0, "more than the file can hold"),
        ({"a": entry(), "b": entry()}, 12, "the tensor 'b' overlaps the one before it"),
        ({"a": entry(), "b": entry(offsets=(13, 25))}, 25, "the tensor 'b' leaves a gap before it"),
        ({"a": entry(offsets=(4, 16))}, 16, "leaves a gap before it"),
        ({"a": entry(dtype="F8_E4M3")}, 12, "is of the type 'F8_E4M3', which is not read"),
        ({"a": entry(dtype=[])}, 12, "is of the type '[]', which is not read"),
        ({"a": entry(more=1)}, 12, "does not have the keys"),
        ({"a": None}, 12, "does not have the keys"),
        ({"": entry()}, 12, "name has 0 characters"),
        ({"a" * 2000: entry()}, 12, "name has 2,000 characters"),
        ({"a\n": entry()}, 12, "the tensor 'a\\n' has a name that cannot be printed"),
        ({"a\u202eb": entry()}, 12, "the tensor 'a\\u202eb' has a name that cannot be printed"),
        (b'{"a":{},"a":{}}', 0, "'a' is a duplicate key"),
        (b'{"a":{"dtype":"F32","dtype":"F64"}}', 0, "'dtype' is a duplicate key"),
        (b"{]", 0, "it is not JSON"),
        (b'{"\xff":1}', 0, "it is not JSON"),
        (b'{"a":' * 90_000, 0, "it is not JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", 0, "it is not JSON"),
        (b'{"a":' + b"[" * 200_001, 0, "more than 100,000 tensors"),
        (b'{"a":1' + b",1" * 2_000_001, 0, "more texts or numbers than tensors need"),
        (b'{"a":[""' + b',""' * 600_001, 0, "more texts or numbers than tensors need"),
    ],
)
def test_safetensors(header: Any, size: int, wanted: str, path: Path) -> None:
    assert wanted in error(path, safetensors(header, bytes(size)))


def test_headers_of_safetensors(path: Path) -> None:
    assert "its header claims 16,777,217 bytes" in error(path, safetensors(b"{}", b"", (16 << 20) + 1))
    assert "its header ends beyond the file, which has 10 bytes" in error(path, safetensors(b"{}", b"", 3))
    many = {str(n): entry(shape=(0,), offsets=(0, 0)) for n in range(100_001)}
    path.write_bytes(safetensors(many, b""))
    with pytest.raises(Failure, match="more than 100,000 tensors"):
        open_checkpoint(path)


# Archives


def patched(data: bytes, signature: bytes, offset: int, format: str, value: int) -> bytes:
    """Another number in the first record of a kind."""
    out = bytearray(data)
    struct.pack_into(format, out, data.index(signature) + offset, value)
    return bytes(out)


DIRECTORY, END, LOCAL = b"PK\1\2", b"PK\5\6", b"PK\3\4"


@pytest.mark.parametrize(
    ("signature", "offset", "format", "value", "wanted"),
    [
        (DIRECTORY, 8, "<H", 1, "is encrypted"),
        (DIRECTORY, 10, "<H", 12, "is compressed by method 12"),
        (DIRECTORY, 20, "<I", 2**31, "is truncated"),
        (DIRECTORY, 24, "<I", 2**31, "is stored, but claims 2,147,483,648 bytes"),
        (DIRECTORY, 42, "<I", 2**31, "begins beyond the file"),
        (DIRECTORY, 42, "<I", 1, "not where the directory says"),
        (END, 12, "<I", 2**31, "not a zip file, or truncated"),
        (END, 16, "<I", 2**31, "FILE: "),
        (LOCAL, 26, "<H", 65535, "is truncated"),
    ],
)
@pytest.mark.parametrize("kind", ["torch", "npz"])
def test_archives(kind: str, signature: bytes, offset: int, format: str, value: int, wanted: str, path: Path) -> None:
    assert wanted in error(path, patched(FILES[kind], signature, offset, format, value))


def test_a_directory_of_many_members(path: Path) -> None:
    """Forty bytes a member in the file, and five hundred in memory: the directory's size is held down."""
    members = zip_of({f"{n}.npy": b"" for n in range(3)})
    start, end = members.index(DIRECTORY), members.index(END)
    times = (17 << 20) // (end - start)
    tail = bytearray(members[end:])
    struct.pack_into("<I", tail, 12, times * (end - start))
    assert "its directory claims" in error(path, members[:start] + members[start:end] * times + bytes(tail))


def test_two_members_of_one_name(path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", b"")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", b"")
    assert "two members are called 'a.npy'" in error(path, file.getvalue())


# numpy


def npy(header: bytes, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return zip_of({"a.npy": b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + data})


@pytest.mark.parametrize(
    ("descr", "shape", "size", "wanted"),
    [
        ("'<f4'", "(3,)", 11, "of 3 values of float32 has 11 bytes"),
        ("'<f4'", "(10**9,)", 12, "no readable header"),
        ("'<f4'", "(1000000000,)", 12, "of 1,000,000,000 values of float32 has 12 bytes"),
        ("'<f4'", "(4294967296, 4294967296)", 0, "has 0 bytes"),
        ("'<f4'", "(-1, -3)", 12, "an invalid shape"),
        ("'<f4'", "(True, 3)", 12, "an invalid shape"),
        ("'<f4'", "(0, 4611686018427387904, 4)", 0, "more than the file can hold"),
        ("'<f4'", "(" + "9" * 1000 + ",) ", 4, "an invalid shape"),
        ("'<f4'", "(1,)*3", 4, "no readable header"),
        ("'<f4'", "(" + "1, " * 17 + ")", 4, "an invalid shape"),
        ("'|O'", "(1,)", 8, "is of the type object"),
        ("'<U4'", "(1,)", 16, "is of the type <U4"),
        ("[('a', '<f4')]", "(3,)", 12, "which is not read"),
        ("('<f4', (3,))", "(1,)", 12, "which is not read"),
        ("'<c8'", "(1,)", 8, "is of the type complex64"),
        ("'?'*9", "(1,)", 1, "no readable header"),
        ("__import__('os')", "(1,)", 1, "no readable header"),
    ],
)
def test_headers_of_numpy(descr: str, shape: str, size: int, wanted: str, path: Path) -> None:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"
    assert wanted in error(path, npy(header.encode(), bytes(size)))


def test_more_headers_of_numpy(path: Path) -> None:
    assert "no readable header" in error(path, npy(b"{" * 3000))
    assert "no readable header" in error(path, npy(b" " * 60_000))
    assert "no readable header" in error(path, npy(b"{}", version=b"\7\0"))
    assert "no readable header" in error(path, zip_of({"a.npy": b""}))


def bomb_of_numpy() -> bytes:
    """65 KB that inflate to 64 MiB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (16 << 20,)})
        for _ in range(64):
            member.write(bytes(1 << 20))
    return file.getvalue()


def test_memory_that_a_small_file_takes_is_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of `error`: the limit of what a file may inflate to is not there."""
    monkeypatch.setattr(npz, "_SLACK", 1 << 40)
    path.write_bytes(bomb_of_numpy())
    with pytest.raises(AssertionError if MEASURED else TooMuchWork), little_memory():
        read_all(path)


def test_a_bomb_of_numpy(path: Path) -> None:
    """And one that lies of what it inflates to."""
    bomb = bomb_of_numpy()
    assert "claim to inflate to 67,108,992; " in error(path, bomb)
    honest = npz_of({"a": np.zeros(64)}, compressed=True)
    lie = patched(bomb, DIRECTORY, 24, "<I", 128 + 512)
    assert "is damaged" in error(path, lie)
    assert read_back(path, honest) == {"a": bytes(512)}


def test_zeros_are_no_bomb(path: Path) -> None:
    same(opened(path, npz_of({"a": np.zeros(1 << 20)}, compressed=True)), {"a": np.zeros(1 << 20)})
