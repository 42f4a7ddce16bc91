"""What a weight file says of a tensor beyond its numbers: views, types, and a shape that is said twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED

import numpy as np
import onnx
import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.ir import ops
from resnetgen.ir.ops import VOCABULARY
from resnetgen.ir.ops.base import BaseOp
from resnetgen.weights.checkpoint import Head, write_checkpoint
from resnetgen.weights.initialise import input_moments
from resnetgen.wire.fields import varint
from support.checkpoint_files import (
    Raw,
    blob,
    call,
    field,
    glob,
    layer,
    model,
    npz_of,
    onnx_of,
    opcodes,
    opened,
    pickled,
    pth,
    pth_of,
    random,
    safetensors,
    safetensors_of,
    storage,
    tensor,
    zip_of,
)
from support.helpers import graph

HOOKS = call(glob("collections", "OrderedDict"))
VALUES = random("float32", 2, 3)


def refused(path: Path, data: bytes) -> str:
    with pytest.raises(Failure) as caught:
        opened(path, data)
    assert exit_code(caught.value) is Exit.MODEL
    return str(caught.value)


@pytest.mark.parametrize("what", ["neg", "conj"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_view_that_changes_its_values_is_refused(version: int, what: str, tmp_path: Path) -> None:
    """torch keeps `neg` and `conj` beside a tensor, whose storage holds the values before they are applied."""

    def file(*metadata: Any) -> bytes:
        kind = "FloatStorage" if version == 2 else "storage.UntypedStorage"
        elements = 6 if version == 2 else 24
        dtype = () if version == 2 else (glob("torch", "float32"),)
        parts = (storage(kind, "0", elements), 0, (2, 3), (3, 1), False, HOOKS, *dtype, *metadata)
        made = call(glob("torch._utils", f"_rebuild_tensor_v{version}"), *parts)
        return pth({"w": made}, {"0": VALUES.tobytes()})

    assert np.array_equal(opened(tmp_path / "w", file()).array("w"), VALUES)
    assert "'w' is a negated or conjugated view" in refused(tmp_path / "w", file({what: True}))


@pytest.mark.parametrize("dtype", ["int32", "float16", "bfloat16"])
def test_a_tensor_of_another_type_than_its_storage_is_refused(dtype: str, tmp_path: Path) -> None:
    """Its bytes would be read as numbers that they are not."""
    parts = (storage("FloatStorage", "0", 6), 0, (2, 3), (3, 1), False, HOOKS, glob("torch", dtype))
    made = call(glob("torch._utils", "_rebuild_tensor_v3"), *parts)
    said = refused(tmp_path / "w", pth({"w": made}, {"0": VALUES.tobytes()}))
    assert "'w' is not of the type of its storage" in said


def test_the_shape_of_old_counts_where_a_blob_has_two(tmp_path: Path) -> None:
    """As Caffe itself decides, which looks at `shape` only where there is none of num, channels, height and width."""
    old = b"".join(varint(number << 3) + varint(size) for number, size in enumerate((1, 1, 3, 2), 1))
    read = opened(tmp_path / "w", field(1, b"net") + layer("fc", "InnerProduct", old + blob(VALUES)))
    assert read.tensors["fc.0"].shape == (1, 1, 3, 2)
    assert np.array_equal(read.array("fc.0"), VALUES.reshape(1, 1, 3, 2))
    assert "of 1x1x3x3 holds 6 values" in refused(
        tmp_path / "w",
        layer("fc", "InnerProduct", old[:-1] + varint(3) + blob(VALUES)),
    )


# Places


def read_all(path: Path, data: bytes) -> None:
    read = opened(path, data)
    for name in read.tensors:
        read.array(name)


def initializer(**fields: Any) -> onnx.TensorProto:
    return onnx.TensorProto(**({"name": "w", "dims": [3], "data_type": onnx.TensorProto.FLOAT} | fields))


def of_torch(made: Raw, method: int = ZIP_STORED) -> bytes:
    return zip_of({"a/data/0": VALUES.tobytes(), "a/data.pkl": pickled({"w": made})}, method)


def damaged() -> dict[str, tuple[bytes, bytes, str]]:
    """Files, the part that is wrong, and what is said of it."""
    entry = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    twice = json.dumps({"a": entry, "b": entry}).encode()
    shapeless = json.dumps({"a": entry | {"shape": 3}}).encode()
    crowded = b'{"a":1' + b",1" * 2_000_001
    values = bytes(range(1, 13))
    stored = VALUES.tobytes()
    numbers = b"\1\2\3\xac\2"
    short, few = initializer(raw_data=values[:11]), initializer(dims=[5], data_type=7, int64_data=[1, 2, 3, 300])
    deflated = of_torch(tensor("FloatStorage", "0", 6, (6,)), ZIP_DEFLATED)
    pickle = deflated[deflated.index(b"a/data.pkl") + len("a/data.pkl") : deflated.index(b"PK\1\2")]
    int_parts = (storage("IntStorage", "0", 6), 0, (6,), (1,), False, HOOKS, glob("torch", "float32"))
    other = call(glob("torch._utils", "_rebuild_tensor_v3"), *int_parts)
    eight = field(7, field(1, b"\2\4")) + field(5, stored)
    return {
        "safetensors, overlapping": (safetensors(twice, values), values, "'b' overlaps the one before it"),
        "safetensors, a shape": (safetensors(shapeless, values), shapeless, "an invalid shape or data_offsets"),
        "safetensors, a header": (safetensors(crowded, b""), crowded, "more texts or numbers than tensors need"),
        "torch, a type": (of_torch(other), stored, "is not of the type of its storage"),
        "torch, a storage": (of_torch(tensor("FloatStorage", "0", 5, (5,))), stored, "claims a storage of 5 elements"),
        "torch, a shape": (of_torch(tensor("FloatStorage", "0", 6, (7,))), stored, "takes more than its storage"),
        "torch, deflated": (deflated, pickle, "the member 'a/data.pkl' is compressed"),
        "onnx, a tensor": (model(short), short.SerializeToString(), "of 3 float32 holds 11 bytes"),
        "onnx, too few numbers": (model(few), numbers, "a tensor of 5 values holds 4"),
        "onnx, an end": (model(few).replace(numbers, b"\1\2\3\4\x85"), b"\1\2\3\4\x85", "a number does not end"),
        "caffemodel": (layer("fc", "InnerProduct", eight), eight, "of 2x4 holds 6 values"),
    }


@pytest.mark.parametrize("case", damaged())
def test_the_place_of_what_is_damaged(case: str, tmp_path: Path) -> None:
    """The bytes of the tensor, or of the header that tells of it."""
    data, part, said = damaged()[case]
    assert data.count(part) == 1
    with pytest.raises(Failure) as caught:
        read_all(tmp_path / "w", data)
    start = data.index(part)
    message = caught.value.problems[0].message
    assert said in message
    assert message.endswith(f" (bytes {start:,} to {start + len(part):,})")


def in_one_piece() -> dict[str, bytes]:
    typed = initializer(dims=VALUES.shape, float_data=VALUES.ravel().tolist())
    return {
        "safetensors": safetensors_of({"w": VALUES}),
        "npz": npz_of({"w": VALUES}),
        "torch": pth_of({"w": VALUES}),
        "onnx, raw": onnx_of({"w": VALUES}),
        "onnx, typed": model(typed),
        "caffemodel": layer("fc", "InnerProduct", blob(VALUES)),
    }


@pytest.mark.parametrize("format", in_one_piece())
def test_the_place_of_values_in_one_piece(format: str, tmp_path: Path) -> None:
    data = in_one_piece()[format]
    (entry,) = opened(tmp_path / "w", data).tensors.values()
    assert data[entry.start : entry.end] == VALUES.tobytes()


# Limits


def test_numbers_of_ten_bytes_each(tmp_path: Path) -> None:
    """A negative number takes ten, the most that a number can."""
    typed = initializer(data_type=7, int64_data=[-1, -2, -3])
    assert opened(tmp_path / "w", model(typed)).array("w").tolist() == [-1, -2, -3]
    typed.int64_data.append(1)
    assert "of 3 holds its values in 31 bytes" in refused(tmp_path / "w", model(typed))


@pytest.mark.parametrize(("length", "said"), [(200, "it refers to 'o"), (201, "a name is not a text")])
def test_long_names_in_a_pickle(length: int, said: str, tmp_path: Path) -> None:
    """Those that two texts make, the module and the name in it."""
    for words in (("o" * length, "x"), ("o", "x" * length)):
        made = Raw(b"".join(map(opcodes, words)) + b"\x93")
        assert said in refused(tmp_path / "w", pth({"w": made}, {}))


@pytest.mark.parametrize("length", [199, 200, 300])
def test_the_name_of_a_member_is_cut(length: int, tmp_path: Path) -> None:
    data = bytearray(zip_of({"n" * length: b""}))
    data[data.index(b"PK\1\2") + 8] = 1
    assert f": the member {'n' * min(length, 200)!r} is encrypted" in refused(tmp_path / "w", bytes(data))


def test_values_that_look_like_the_end_of_a_large_archive(tmp_path: Path) -> None:
    """The record of zip64 counts only where the plain one has no room for the number of members."""
    values = np.frombuffer(b"PK\6\6" * 16, np.float32)
    assert np.array_equal(opened(tmp_path / "w", npz_of({"w": values})).array("w"), values)


def test_a_few_kilobytes_may_be_shared_by_any_number_of_tensors(tmp_path: Path) -> None:
    tensors = {str(number): tensor("FloatStorage", "0", 1000, (1000,)) for number in range(100)}
    values = random("float32", 1000)
    data = pth(tensors, {"0": values.tobytes()})
    assert len(data) * 8 < 100 * values.nbytes
    read = opened(tmp_path / "w", data)
    assert all(np.array_equal(read.array(name), values) for name in tensors)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("other", [False, True])
def test_values_of_a_field_each(count: int, other: bool, tmp_path: Path) -> None:
    """As Caffe's first writers made them: alone, or before a field of the same length that is no value."""
    values = random("float32", count)
    fields = b"".join(varint(5 << 3 | 5) + value.tobytes() for value in values)
    end = varint(9 << 3 | 5) + b"\1\2\3\4" if other else b""
    shape = varint(4 << 3) + varint(count)
    ones = b"".join(varint(number << 3) + b"\1" for number in (1, 2, 3))
    read = opened(tmp_path / "w", field(1, b"net") + layer("fc", "InnerProduct", ones + shape + fields + end))
    assert np.array_equal(read.array("fc.0").ravel(), values)


def test_the_header_of_a_safetensors_file_has_no_blanks(tmp_path: Path) -> None:
    """But for those at its end, which align the values."""
    path = tmp_path / "w"
    write_checkpoint(path, "safetensors", {"w": Head("float32", (2, 3))}, {"w": VALUES}.items())
    data = path.read_bytes()
    header = data[8 : 8 + int.from_bytes(data[:8], "little")]
    assert header.rstrip(b" ") == (
        b'{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    )
    assert len(header) % 8 == 0


@pytest.mark.parametrize(("value", "keys"), [({}, "none"), ({"epoch": 3, "best": 0.5}, "'epoch', 'best'")])
def test_the_keys_of_a_dict_without_tensors_are_named(value: dict[str, Any], keys: str, tmp_path: Path) -> None:
    assert f"it has no dict of tensors; its keys are {keys} (bytes" in refused(tmp_path / "w", pth(value, {}))


def test_numbers_of_an_onnx_model_that_are_not_packed(tmp_path: Path) -> None:
    """Each would be a field of its own, of any length."""
    head = initializer(dims=[1], data_type=7).SerializeToString()
    data = field(7, field(5, head + varint(7 << 3) + varint(300)))
    start = data.index(varint(7 << 3) + varint(300))
    assert f": the numbers at byte {start} are not packed" in refused(tmp_path / "w", data)


def test_the_last_whole_tensor_of_a_damaged_onnx_model_is_named(tmp_path: Path) -> None:
    first = initializer(name="first", raw_data=bytes(12)).SerializeToString()
    data = field(7, field(5, first) + field(5, b"\xff"))
    assert "damaged, behind the initializer 'first': " in refused(tmp_path / "w", data)


# The moments that initial weights are drawn by


class Unknown(BaseOp, frozen=True):
    """An op that nothing knows."""

    keyword = "unknown"


def test_an_op_without_a_moment_is_an_error() -> None:
    """It would pass on what it is given, and draw the norms behind it for another network."""
    with pytest.raises(NotImplementedError, match="unknown has no moments"):
        input_moments(graph((3, 8, 8), a=(Unknown(), "data"), b=(ops.Relu(), "a")))


MOMENTS = {
    "conv": (ops.Conv((1, 1), 3), 2),
    "channelconv": (ops.ChannelConv(), 2),
    "fc": (ops.Fc(4), 2),
    "batchnorm": (ops.BatchNorm(), 1.25),
    "groupnorm": (ops.GroupNorm(3), 1.25),
    "lrn": (ops.Lrn(), 1),
    "relu": (ops.Relu(), 0.5),
    "relu6": (ops.Relu6(), 0.5),
    "leakyrelu": (ops.LeakyRelu(0.5), 0.625),
    "silu": (ops.Silu(), 0.5),
    "mish": (ops.Mish(), 0.5),
    "gelu": (ops.Gelu(), 0.5),
    "sigmoid": (ops.Sigmoid(), 0.3),
    "softmax": (ops.Softmax(), 0.3),
    "dropout": (ops.Dropout(0.5), 1),
    "maxpool": (ops.MaxPool((1, 1)), 1),
    "avgpool": (ops.AvgPool((1, 1)), 0.5),
    "gap": (ops.GlobalAvgPool(), 0.5),
    "blurpool": (ops.BlurPool((1, 1)), 1),
    "channelpad": (ops.ChannelPad(4), 1),
    "flatten": (ops.Flatten(), 1),
    "add": (ops.Add(), 2),
    "mul": (ops.Mul(), 1),
    "concat": (ops.Concat(), 1),
}


@pytest.mark.parametrize("keyword", sorted(VOCABULARY.keys() - {"input"}))
def test_the_moment_of_each_op(keyword: str) -> None:
    """Of an input of moment 1; given twice to what takes two."""
    op, moment = MOMENTS[keyword]
    inputs = ["data"] * (op.arity or 2)
    size = 1 if keyword == "channelconv" else 3
    assert input_moments(graph((3, size, size), op=(op, *inputs), end=(ops.Sigmoid(), "op")))["end"] == moment
