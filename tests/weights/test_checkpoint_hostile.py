"""Weight files that are not what they should be: cut, flipped, foreign, hostile. Only errors may come of them, with
exit 4, and neither much memory nor much time.
"""

from __future__ import annotations

import io
import os
import random as rng
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from resnetgen.errors import Code, Exit, Failure
from resnetgen.weights.checkpoint import npz, open_checkpoint
from resnetgen.weights.checkpoint import pickled as pickled_module
from resnetgen.wire import messages
from resnetgen.wire.fields import delimited, fields, varint
from support.checkpoint_files import (
    FILES,
    TENSORS,
    Raw,
    call,
    field,
    glob,
    layer,
    model,
    npz_of,
    opcodes,
    opened,
    pickled,
    pth,
    safetensors,
    same,
    storage,
    tensor,
    zip_of,
)
from support.work import TooMuchWork, count_bytes, count_lines

MEMORY = 8 << 20
"""Bytes that reading a small file may take, whatever it claims."""


MEASURED = "RESNETGEN_MEMORY" in os.environ
"""Measure memory beside what is asked for. It is slow, and other threads take memory as well."""


@contextmanager
def little_memory() -> Iterator[None]:
    if not MEASURED:
        with count_bytes(MEMORY):
            yield
        return
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def read_all(path: Path) -> dict[str, bytes]:
    read = open_checkpoint(path)
    return {name: read.array(name).tobytes() for name in read.entries}


def error(path: Path, data: bytes) -> str:
    """The text of the error, of exit 4."""
    path.write_bytes(data)
    with pytest.raises(Failure) as caught, little_memory():
        read_all(path)
    assert caught.value.exit is Exit.MODEL
    assert {problem.code for problem in caught.value.problems} == {Code.BAD_MODEL}
    return str(caught.value).replace(str(path), "FILE")


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
        if failure.exit is not Exit.MODEL:
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
    b"\x08\x01\x12\x04\x0a\x02ab": "no weight file that is known",  # TensorFlow's saved model
    bytes(1000): "no weight file that is known",
    b"some text": "no weight file that is known",
    zip_of({}): "no weight file that is known",
    zip_of({"config.json": b"{}", "model.weights.h5": b""}): "holds neither torch's tensors nor numpy's arrays",
    field(1, b"a net"): "no weight file that is known",
    field(1, b"a net") + layer("relu", "ReLU"): "it holds no weights",
    field(1, b"a net") + field(2, field(1, b"V0")): "it is a caffemodel of 2013",
    safetensors({}, b""): "it holds no weights",
    model(): "it holds no weights",
    npz_of({}): "no weight file that is known",
}


@pytest.mark.parametrize("data", FOREIGN, ids=range(len(FOREIGN)))
def test_what_else_a_file_may_be(data: bytes, path: Path) -> None:
    assert FOREIGN[data] in error(path, data)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Failure, match="it is a pipe, not a file") as caught:
        open_checkpoint(tmp_path / "pipe")
    assert caught.value.exit is Exit.IO


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
        ({"a": entry()}, 13, "the file goes on behind its last tensor"),
        ({"a": entry(offsets=(0, 8))}, 8, "the tensor 'a' of 3 float32 holds 8 bytes"),
        ({"a": entry(offsets=(12, 0))}, 12, "ends beyond"),
        ({"a": entry(offsets=(-12, 0))}, 12, "no sensible shape or data_offsets"),
        ({"a": entry(offsets=(0, 2**70))}, 12, "no sensible shape or data_offsets"),
        ({"a": entry(offsets=(0, 12.0))}, 12, "no sensible shape or data_offsets"),
        ({"a": entry(shape=(True, 3))}, 12, "no sensible shape or data_offsets"),
        ({"a": entry(shape=3)}, 12, "no sensible shape or data_offsets"),
        ({"a": entry(shape=(-1, -3))}, 12, "no sensible shape or data_offsets"),
        ({"a": entry(shape=[1] * 17)}, 12, "no sensible shape or data_offsets"),
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
        (b'{"a":{},"a":{}}', 0, "'a' is there twice"),
        (b'{"a":{"dtype":"F32","dtype":"F64"}}', 0, "'dtype' is there twice"),
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
        (DIRECTORY, 20, "<I", 2**31, "is cut short"),
        (DIRECTORY, 24, "<I", 2**31, "is stored, but claims 2,147,483,648 bytes"),
        (DIRECTORY, 42, "<I", 2**31, "begins beyond the file"),
        (DIRECTORY, 42, "<I", 1, "not where the directory says"),
        (END, 12, "<I", 2**31, "it is no zip file, or only a part of one"),
        (END, 16, "<I", 2**31, "FILE: "),
        (LOCAL, 26, "<H", 65535, "is cut short"),
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
        ("'<f4'", "(-1, -3)", 12, "no sensible shape"),
        ("'<f4'", "(True, 3)", 12, "no sensible shape"),
        ("'<f4'", "(0, 4611686018427387904, 4)", 0, "more than the file can hold"),
        ("'<f4'", "(" + "9" * 1000 + ",) ", 4, "no sensible shape"),
        ("'<f4'", "(1,)*3", 4, "no readable header"),
        ("'<f4'", "(" + "1, " * 17 + ")", 4, "no sensible shape"),
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


def read_back(path: Path, data: bytes) -> dict[str, bytes]:
    path.write_bytes(data)
    return read_all(path)


def test_zeros_are_no_bomb(path: Path) -> None:
    same(opened(path, npz_of({"a": np.zeros(1 << 20)}, compressed=True)), {"a": np.zeros(1 << 20)})


# torch


def weights(elements: int = 6, shape: Any = (3, 2), strides: Any = None, offset: Any = 0, kind: str = "Float") -> Raw:
    return tensor(f"{kind}Storage", "0", elements, shape, strides, offset)


DATA = {"0": bytes(24)}
HUGE = 10**9


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        # Sizes: 1.5 KB that claim 10^9 elements
        (weights(HUGE, (HUGE,)), "claims a storage of 1,000,000,000 elements, which holds 24 bytes"),
        (weights(6, (HUGE,)), "of 1000000000 takes more than its storage of 6 elements"),
        (weights(6, (HUGE,), (0,)), "takes more than its storage of 6 elements"),
        (weights(6, (3, 2), (0, 2**62)), "takes more than its storage"),
        (weights(6, (3, 2), (2, 1), 1), "takes more than its storage"),
        (weights(6, (3, 2), (3, 1)), "takes more than its storage"),
        (weights(6, (3, 2), (-2, 1)), "are no sizes"),
        (weights(6, (3, 2), (2, 1), -1), "are no sizes"),
        (weights(6, (3, 2), (1,)), "other strides than axes"),
        (weights(6, (1,) * 17, (1,) * 17), "are no sizes"),
        (weights(6, (3, 2.0), (2, 1)), "are no sizes"),
        (weights(6, (True, 2), (2, 1)), "are no sizes"),
        (weights(6, [3, 2]), None),
        (weights(6, (3, 2), [2, 1]), "are no sizes"),
        (weights(6, (3, 2**300), (2, 1)), "a number of more than 256 bits"),
        (weights(6, (3, 2**200), (2, 1)), "takes more than its storage"),
        (weights(2**200, (3, 2)), "which holds 24 bytes"),
        (weights(5), "claims a storage of 5 elements, which holds 24 bytes"),
        (weights(-6), "a storage is not what it should be"),
        (weights(kind="Double"), "claims a storage of 6 elements, which holds 24 bytes"),
        (tensor("FloatStorage", "1", 6, (3, 2)), "names the storage '1', which is not there"),
        (tensor("FloatStorage", "../data.pkl", 6, (3, 2)), "which is not there"),
        (tensor("FloatStorage", 0, 6, (3, 2)), "a storage is not what it should be"),
        (tensor("storage.UntypedStorage", "0", 24, (3, 2)), "or no type"),
        # Names
        (call(glob("os", "system"), "touch owned"), "it wants 'os.system', which no tensor needs"),
        (call(glob("builtins", "eval"), "1"), "it wants 'builtins.eval'"),
        (call(glob("torch._utils", "_rebuild_tensor_v2.__globals__"), "1"), "which no tensor needs"),
        (glob("torch._utils", "_rebuild_device_tensor_from_numpy"), "which no tensor needs"),
        (Raw(opcodes("os") + opcodes("system") + b"\x93"), "it wants 'os.system'"),
        (Raw(opcodes("os" * 5000) + opcodes("system") + b"\x93"), "a name is no text"),
        (Raw(opcodes(1) + opcodes(2) + b"\x93"), "a name is no text"),
        (Raw(b"ios\nsystem\n"), "INST, which no tensor needs"),
        (Raw(b"\x82\x01"), "EXT1, which no tensor needs"),
        (Raw(b"(" + opcodes(glob("torch", "Size")) + b"o"), "OBJ, which no tensor needs"),
        # Calls
        (call(glob("torch._utils", "_rebuild_tensor_v2"), 1, 2, 3, 4), "a tensor has no storage"),
        (call(glob("torch._utils", "_rebuild_tensor_v2")), "it is damaged: TypeError"),
        (call(glob("torch._utils", "_rebuild_tensor_v3"), storage("FloatStorage", "0", 6), 0, (), ()), "no type"),
        (call(glob("torch", "FloatStorage"), 1), "it calls what is no function"),
        (call(Raw(opcodes(1)), 1), "it calls what is no function"),
        (Raw(opcodes(glob("torch", "Size")) + opcodes([1]) + b"R"), "it calls what is no function"),
        (call(glob("torch", "Size"), *range(17)), "it calls what is no function"),
        (Raw(opcodes("storage") + b"Q"), "a storage is not what it should be"),
    ],
)
def test_pickles(value: Raw, wanted: str | None, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    data = pth({"w": value}, DATA)
    if wanted is None:
        assert read_back(path, data) == {"w": bytes(24)}
    else:
        assert wanted in error(path, data)
    assert [p.name for p in path.parent.iterdir()] == ["weights"]


STEPS = {
    "it stops too early": (b"", "it is damaged: ValueError"),
    "it takes from nothing": (b".", "it takes what is not there"),
    "below a mark": (b"N(0.", "it takes what is not there"),
    "no mark": (b"t.", "it takes what is not there"),
    "a memo of nothing": (b"q\x00.", "IndexError"),
    "a memo that is not there": (b"h\x07.", "KeyError"),
    "an unknown step": (b"\xff.", "ValueError"),
    "a text longer than the pickle": (b"X\xff\xff\xff\x7fab.", "ValueError"),
    "bytes of eight bytes of length": (b"\x8e" + b"\xff" * 7 + b"\x7f.", "ValueError"),
    "a number of many digits": (b"I" + b"9" * 5000 + b"\n.", "ValueError"),
    "a long number": (
        b"\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b".",
        "a number of more than 256 bits",
    ),
    "entries of a list": (b"]K\x01K\x02s.", "sets the entries of what is no dict"),
    "an entry without a value": (b"}(K\x01u.", "sets the entries of what is no dict"),
    "appended to a dict": (b"}K\x01a.", "appends to what is no list"),
    "a bare value": (b"K\x01.", "holds no dict of tensors"),
    "a list in itself": (b"]q\0h\0a.", "holds no dict of tensors"),
    "a dict in itself": (b"}q\0X\1\0\0\0ah\0s.", "has no dict of tensors"),
    "a deep tuple as a key": (b"})" + b"\x85" * 200_000 + b"K\x01s.", "has no dict of tensors"),
    "a deep list": (b"]" * 100_000 + b"a" * 99_999 + b".", "holds no dict of tensors"),
    "many arguments, many times": (
        b"ctorch\nSize\nq\0(" + b"K\x01" * 100_000 + b"tq\x01" + b"0h\0h\1R" * 100_000 + b".",
        "it calls what is no function",
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_pickles(name: str, path: Path) -> None:
    steps, wanted = STEPS[name]
    path.write_bytes(zip_of({"archive/data.pkl": b"\x80\x02" + steps}))
    with pytest.raises(Failure) as caught:
        open_checkpoint(path)
    assert wanted in str(caught.value)
    assert caught.value.exit is Exit.MODEL


MANY: dict[str, Callable[[int], bytes]] = {
    "a deep tuple": lambda n: b"})" + b"\x85" * n + b"K\x01s.",
    "a deep list": lambda n: b"]" * n + b"a" * (n - 1) + b".",
    "the same arguments again": lambda n: b"ctorch\nSize\nq\0(" + b"K\x01" * n + b"tq\x01" + b"0h\0h\1R" * n + b".",
}


def work_of(steps: bytes, path: Path) -> int:
    path.write_bytes(zip_of({"archive/data.pkl": b"\x80\x02" + steps}))
    with count_lines() as lines, pytest.raises(Failure):
        open_checkpoint(path)
    return lines.count


@pytest.mark.parametrize("name", MANY)
def test_a_pickle_takes_work_in_proportion_to_its_steps(name: str, path: Path) -> None:
    work_of(MANY[name](9), path)  # imports what it needs
    assert work_of(MANY[name](2000), path) < 2.2 * work_of(MANY[name](1000), path)


def test_work_for_each_value_on_the_stack_is_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the test above."""
    machine = pickled_module._Machine
    pop = machine.pop

    def slow_pop(self: Any) -> Any:
        for _ in self._stack:
            pass
        return pop(self)

    monkeypatch.setattr(machine, "pop", slow_pop)
    assert work_of(MANY["a deep list"](600), path) > 3 * work_of(MANY["a deep list"](300), path)


def test_too_many_steps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled_module, "MAX_OPCODES", 1000)
    assert "it has more than 1,000 steps" in error(path, zip_of({"a/data.pkl": b"N0" * 501 + b"N."}))


def test_archives_of_torch(path: Path) -> None:
    value = {"w": weights()}
    assert "its byte order is b'middle'" in error(path, pth(value, DATA, "middle"))
    assert "the member 'archive/byteorder' has 1,000 bytes" in error(path, pth(value, DATA, "x" * 1000))
    assert "is a TorchScript program" not in error(path, pth(value, {}))
    assert "it is a TorchScript program" in error(path, pth(value, DATA, **{"constants.pkl": b""}))
    long = zip_of({"a/data.pkl": pickled("x" * (16 << 20))})
    path.write_bytes(long)
    with pytest.raises(Failure, match="16,777,216 are allowed"):
        open_checkpoint(path)
    deflated = zip_of({"a/data.pkl": pickled(value), "a/data/0": bytes(24)}, zipfile.ZIP_DEFLATED)
    assert "the member 'a/data.pkl' is compressed" in error(path, deflated)


def test_many_tensors_of_the_same_bytes(path: Path) -> None:
    """Tied weights name theirs twice; ten thousand tensors may not name the same megabyte."""
    elements = 1 << 18
    values = {str(n): tensor("FloatStorage", "0", elements, (elements,)) for n in range(100)}
    path.write_bytes(pth(values, {"0": bytes(4 * elements)}))
    with pytest.raises(Failure, match="name the same bytes over and over"):
        open_checkpoint(path)
    twice = {name: values[name] for name in ("0", "1")}
    assert len(read_back(path, pth(twice, {"0": bytes(4 * elements)}))) == 2


# Protobuf


SHAPE = field(7, field(1, b"\x03"))
FLOATS = field(5, bytes(12))


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (layer("l", "InnerProduct", SHAPE), "the blob 'l.0' of 3 holds 0 values"),
        (layer("l", "InnerProduct", FLOATS), "the blob 'l.0' of a single value holds 3 values"),
        (layer("l", "InnerProduct", SHAPE + FLOATS + field(8, bytes(24))), "the blob 'l.0' of 3 holds 6 values"),
        (layer("l", "InnerProduct", SHAPE + field(5, bytes(11))), "11 bytes at byte"),
        (layer("l", "InnerProduct", SHAPE + b"\x29" + bytes(8)), "is no float32 value"),
        (
            layer("l", "InnerProduct", field(7, field(1, varint(1 << 34))) + FLOATS),
            "'l.0' of 17179869184 holds 3",
        ),
        (layer("l", "InnerProduct", field(7, field(1, varint(2**64 - 1))) + FLOATS), "the blob 'l.0' of -1 holds 3"),
        (layer("l", "InnerProduct", field(7, field(1, b"\x80")) + FLOATS), "a number does not end"),
        (layer("l", "InnerProduct", field(7, field(1, b"\1" * 5000)) + FLOATS), "has more than 16 axes"),
        (layer("l", "InnerProduct", b"\x08\x03" + FLOATS), "the blob 'l.0' of 3x0x0x0 holds 3 values"),
        (layer("", "InnerProduct", SHAPE + FLOATS) * 2, "two layers with blobs are called ''"),
        (layer("l", "InnerProduct", SHAPE + FLOATS) * 2, "two layers with blobs are called 'l'"),
        (layer("l", "BatchNorm", SHAPE + FLOATS), "does not have the three blobs"),
        (layer("l", "BatchNorm", *[SHAPE + FLOATS] * 3), "does not have the three blobs"),
        (layer("l" * 70_000, "InnerProduct", SHAPE + FLOATS), "a text of 70,000 bytes"),
        (layer("l", "InnerProduct", *[SHAPE + FLOATS] * 17), "more than 16 blobs"),
        (layer("l", "InnerProduct", (b"\x30\1" + field(5, bytes(4))) * 1001), "more than 1,000 pieces"),
        (field(100, field(1, b"\xff")), "is not UTF-8"),
        (layer("l", "Scale", SHAPE + FLOATS) + delimited(100, 99), "damaged, behind the layer 'l': the field at byte"),
        (delimited(100, 1 << 40), "no weight file that is known"),
    ],
)
def test_caffemodels(data: bytes, wanted: str, path: Path) -> None:
    assert wanted in error(path, field(1, b"net") + data)


def initializer(**fields: Any) -> bytes:
    return model(onnx.TensorProto(**({"name": "w", "dims": [3], "data_type": 1} | fields)))


def external(**entries: str) -> bytes:
    where = [onnx.StringStringEntryProto(key=key, value=value) for key, value in entries.items()]
    return initializer(data_location=1, external_data=where)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (initializer(), "the initializer 'w' of 3 holds 0 values"),
        (initializer(raw_data=bytes(11)), "of 3 float32 holds 11 bytes"),
        (initializer(raw_data=bytes(12), float_data=[1, 2, 3]), "holds its values twice"),
        (initializer(raw_data=bytes(12), data_location=1), "holds its values twice"),
        (initializer(float_data=[1, 2]), "of 3 holds 2 values"),
        (initializer(double_data=[1, 2, 3]), "of 3 holds 0 values"),
        (initializer(data_type=7, int64_data=[1, 2]), "holds its values in 2 bytes"),
        (initializer(data_type=7, int64_data=[1, 300]), "a tensor of 3 values holds 2"),
        (initializer(data_type=7, int64_data=[1, 2, 3, 4]), "a tensor of 3 values holds 4"),
        (initializer(data_type=8), "is of the type 8 of onnx.proto"),
        (initializer(dims=[1 << 40], raw_data=bytes(12)), "of 1099511627776 float32 holds 12 bytes"),
        (initializer(dims=[-1], raw_data=bytes(12)), "has no sensible shape"),
        (initializer(dims=[1] * 17, raw_data=bytes(4)), "no sensible shape"),
        (initializer(dims=[0, 1 << 62, 4]), "more than the file can hold"),
        (initializer(name=""), "holds 0 values"),
        (initializer(name="", raw_data=bytes(12)), "name has 0 characters"),
        (external(location="beside", offset="-1"), "does not say where it lies"),
        (external(location="beside", length="9" * 30), "does not say where it lies"),
        (external(location="beside", length="\u0663"), "does not say where it lies"),
        (external(location="beside", offset="4", length="12"), "ends beyond beside, which has 12 bytes"),
        (external(location="beside", length="11"), "holds 11 bytes"),
        (external(location="missing"), "its weights are missing"),
        (external(location="link"), "its weights lie outside its folder"),
        (external(location="../weights"), "its weights lie outside its folder"),
        (external(location="/etc/passwd"), "its weights lie outside its folder"),
        (external(location="C:x"), "its weights lie outside its folder"),
        (external(location="a" * 300), "its weights lie outside its folder"),
        (external(location=""), "its weights lie outside its folder"),
        (external(location="a\0b"), "its weights lie outside its folder"),
        (external(**{f"key{n}": "" for n in range(9)}), "no sensible shape or place"),
    ],
)
def test_onnx_models(data: bytes, wanted: str, path: Path) -> None:
    path.with_name("beside").write_bytes(bytes(12))
    path.with_name("link").symlink_to("beside")
    assert wanted in error(path, data)
    assert read_back(path, external(location="beside", offset="0", length="12")) == {"w": bytes(12)}


@pytest.mark.parametrize("size", [3, 1 << 20, (1 << 20) + 5, 3 << 20])
def test_numbers_that_do_not_end(size: int, path: Path) -> None:
    """Packed numbers are read a megabyte at a time; those that cross its border are put together."""
    elements = 1 << 20
    path.write_bytes(field(7, field(5, int64s(elements, b"\xff" * size))))
    with pytest.raises(Failure, match=r"a number does not end|holds its values in"):
        read_all(path)


def int64s(elements: int, data: bytes) -> bytes:
    return field(1, varint(elements)) + b"\x10\x07" + field(8, b"v") + field(7, data)


def test_long_numbers(path: Path) -> None:
    values = np.random.default_rng(0).integers(-(2**62), 2**62, 1 << 18)
    data = b"".join(varint(int(value) % 2**64) for value in values)
    assert len(data) > 2 << 20
    path.write_bytes(field(7, field(5, int64s(values.size, data))))
    assert read_all(path) == {"v": values.tobytes()}


def test_too_many_fields(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bytes each: a few megabytes would keep a reader busy for minutes."""
    monkeypatch.setattr(messages, "_MAX_FIELDS", 1000)
    assert "it has more than 1,000 fields" in error(path, field(1, b"net") + b"\x38\x01" * 1001)


def test_a_field_each_is_read_at_once(path: Path) -> None:
    """A million values, each in a field of its own, are no million steps."""
    values = np.arange(1 << 20, dtype="<f4")
    records = np.empty((values.size, 5), np.uint8)
    records[:, 0] = 5 << 3 | 5
    records[:, 1:] = values.view(np.uint8).reshape(-1, 4)
    data = field(7, field(1, varint(values.size))) + records.tobytes()
    with count_lines() as lines:
        read = opened(path, field(1, b"net") + layer("l", "InnerProduct", data))
        found = read.array("l.0")
    assert np.array_equal(found, values)
    assert lines.count < 20_000
    with count_lines() as one_by_one:
        assert len([*fields(io.BytesIO(data[-5000:]), 0, 5000)]) == 1000
    assert one_by_one.count > 5000, "the control: what is read field by field"
