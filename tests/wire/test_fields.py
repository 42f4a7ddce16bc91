"""Protobuf's wire format, against protobuf: numbers, lengths, fields, and where a message may be cut."""

from __future__ import annotations

import io
import itertools

import onnx
import pytest
from google.protobuf.message import DecodeError

from resnetgen.formats.caffe.model.schema import message
from resnetgen.wire.fields import Field, Truncated, delimited, fields, varint

NUMBERS = [0, 1, 127, 128, 300, 16383, 16384, 2**31 - 1, 2**32, 2**63, 2**64 - 1]


@pytest.mark.parametrize("number", NUMBERS)
def test_varint_against_protobuf(number: int) -> None:
    shape = message("BlobShape")()
    if number < 2**63:
        shape.dim.append(number)
        assert shape.SerializeToString().endswith(varint(number))
    entry = onnx.TensorProto(dims=[number - 2**64 if number >= 2**63 else number])
    assert entry.SerializeToString() == b"\x08" + varint(number)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 70_000])
@pytest.mark.parametrize("number", [1, 15, 16, 100, 2047])
def test_delimited_against_protobuf(number: int, length: int) -> None:
    """As an unknown field of a message: protobuf keeps it, byte for byte."""
    data = delimited(number + 3000, length) + bytes(length)
    assert onnx.TensorProto.FromString(data).SerializeToString() == data
    (field,) = fields(io.BytesIO(data), 0, len(data))
    assert field == Field(number + 3000, 0, len(data) - length, len(data), True)


def sample() -> onnx.TensorProto:
    """A message with fields of all four wire types, nested ones, and a large one."""
    tensor = onnx.TensorProto(dims=[3, 400], data_type=1, name="a weight", raw_data=bytes(range(256)) * 5)
    tensor.external_data.add(key="offset", value="4096")
    tensor.float_data.extend([1.5, 2.5])
    tensor.MergeFromString(varint(2000 << 3 | 1) + bytes(8) + varint(2001 << 3 | 5) + bytes(4))
    return tensor


def test_fields_against_protobuf() -> None:
    data = sample().SerializeToString()
    found = list(fields(io.BytesIO(data), 0, len(data)))
    assert [field.number for field in found] == [1, 1, 2, 4, 8, 9, 13, 2000, 2001]
    assert found[0].head == 0
    assert all(a.end == b.head for a, b in itertools.pairwise(found))
    assert found[-1].end == len(data)
    payload = {field.number: data[field.start : field.end] for field in found}
    assert payload[9] == sample().raw_data
    assert payload[8] == b"a weight"
    # Each field is a message of its own, and together they are the whole again.
    merged = onnx.TensorProto()
    for field in found:
        merged.MergeFromString(data[field.head : field.end])
    assert merged == sample()
    # A message inside a longer file.
    shifted = list(fields(io.BytesIO(b"xyz" + data + b"more"), 3, 3 + len(data)))
    assert [(field.start - 3, field.end - 3) for field in shifted] == [(field.start, field.end) for field in found]


def test_truncation_at_every_byte() -> None:
    """Where protobuf refuses a cut, so do we, and the other way round: a cut between two fields is a message."""
    data = sample().SerializeToString()
    ends = {field.end for field in fields(io.BytesIO(data), 0, len(data))} | {0}
    for size in range(len(data)):
        cut = data[:size]
        # Alone, and at the start of a longer file.
        for read in (io.BytesIO(cut), io.BytesIO(data)):
            if size in ends:
                list(fields(read, 0, size))
                onnx.TensorProto.FromString(cut)
            else:
                with pytest.raises(Truncated):
                    list(fields(read, 0, size))
                with pytest.raises(DecodeError):
                    onnx.TensorProto.FromString(cut)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0b",  # a group
        b"\x0c",  # the end of a group
        b"\x0e\x00",  # wire type 6
        b"\x00\x00",  # field number 0
        b"\xff" * 11,  # a varint that does not end
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a length beyond all files
    ],
    ids=lambda data: data.hex(),
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(Truncated):
        list(fields(io.BytesIO(data), 0, len(data)))
    with pytest.raises(DecodeError):
        onnx.TensorProto.FromString(data)
