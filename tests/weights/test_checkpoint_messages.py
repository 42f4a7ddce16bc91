"""Protobuf messages in weight files: damaged caffemodels and ONNX models, and numbers in every encoding."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from resnetgen.errors import Failure
from resnetgen.wire import messages
from resnetgen.wire.fields import delimited, fields, varint
from support.checkpoint_files import (
    field,
    layer,
    model,
    opened,
)
from support.hostile import error, read_all, read_back
from support.work import count_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights"


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
        (
            layer("l", "Scale", SHAPE + FLOATS) + delimited(100, 99),
            "damaged caffemodel, after the layer 'l': the field at byte",
        ),
        (delimited(100, 1 << 40), "not a supported weight file"),
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
        (initializer(dims=[-1], raw_data=bytes(12)), "has an invalid shape"),
        (initializer(dims=[1] * 17, raw_data=bytes(4)), "an invalid shape"),
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
        (external(**{f"key{n}": "" for n in range(9)}), "an invalid shape or place"),
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
