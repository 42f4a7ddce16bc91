"""Reader of safetensors: eight bytes of length, a JSON header of that length, and the values.

https://huggingface.co/docs/safetensors: the values of the tensors follow one another without a gap, and every byte
belongs to one of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from math import prod
from typing import Any

from resnetgen.weights.checkpoint.contents import MAX_TENSORS, Contents, TensorInfo
from resnetgen.wire.access import Ranges
from resnetgen.wire.dtypes import MAX_RANK, show_shape, width

MAX_HEADER = 16 << 20
"""Limit in bytes: the header of a hundred thousand tensors is smaller. The format's own library allows 100 MB."""

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}


def read(ranges: Ranges) -> Contents:
    """Read the list of tensors of a safetensors file. Raises ModelError if it is truncated or damaged."""
    header, data = _header(ranges)
    contents = Contents(ranges, ranges.size - data)
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise ranges.refuse(f"it has more than {MAX_TENSORS:,} tensors", (8, data))
    entries = [_entry(ranges, name, value, data) for name, value in header.items()]
    end = data
    for entry in sorted(entries, key=lambda entry: (entry.start, entry.end)):
        if entry.start != end:
            what = "overlaps the one before it" if entry.start < end else "leaves a gap before it"
            raise ranges.refuse(f"the tensor {entry.name!r} {what}", (entry.start, entry.end))
        end = entry.end
        contents.add(entry, partial(ranges.array, entry.start, entry.dtype, entry.shape))
    if end != ranges.size:
        raise ranges.refuse("the file continues after its last tensor", (end, ranges.size))
    return contents


def _header(ranges: Ranges) -> tuple[dict[str, Any], int]:
    """Return the header and the offset of the values."""
    size = int.from_bytes(ranges.bytes(0, 8), "little")
    end = 8 + size
    if size > MAX_HEADER:
        raise ranges.refuse(f"its header claims {size:,} bytes; {MAX_HEADER:,} are allowed", (0, 8))
    if end > ranges.size:
        raise ranges.refuse(f"its header ends beyond the file, which has {ranges.size:,} bytes", (8, end))
    text = ranges.bytes(8, end)
    # Checked before parsing: 16 MiB of brackets would become half a gigabyte of lists.
    if text.count(b"{") > MAX_TENSORS + 2 or text.count(b"[") > 2 * MAX_TENSORS:
        raise ranges.refuse(f"its header has more than {MAX_TENSORS:,} tensors", (8, end))
    if text.count(b'"') > 12 * MAX_TENSORS or text.count(b",") > (MAX_RANK + 4) * MAX_TENSORS:
        raise ranges.refuse("its header has more texts or numbers than tensors need", (8, end))
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, _Twice) else "it is not JSON"
        raise ranges.refuse(f"its header cannot be read: {what}", (8, end)) from None
    if not isinstance(header, dict):
        raise ranges.refuse("its header is not a list of tensors", (8, end))
    return header, end


class _Twice(ValueError):
    """Duplicate key of a JSON object: readers differ in which of the two they use."""


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise _Twice(f"{key[:100]!r} is a duplicate key")
        values[key] = value
    return values


def _entry(ranges: Ranges, name: str, value: Any, data: int) -> TensorInfo:
    called = f"the tensor {name[:100]!r}"
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ranges.refuse(f"{called} does not have the keys dtype, shape and data_offsets", (8, data))
    shape, offsets = value["shape"], value["data_offsets"]
    if not _are_sizes(shape) or len(shape) > MAX_RANK or not _are_sizes(offsets) or len(offsets) != 2:
        raise ranges.refuse(f"{called} has an invalid shape or data_offsets", (8, data))
    dtype = DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if dtype is None:
        raise ranges.refuse(f"{called} is of the type {str(value['dtype'])[:20]!r}, which is not read", (8, data))
    start, end = data + offsets[0], data + offsets[1]
    if not start <= end <= ranges.size:
        raise ranges.refuse(f"{called} ends beyond the file, which has {ranges.size:,} bytes", (start, end))
    if end - start != prod(shape) * width(dtype):
        raise ranges.refuse(f"{called} of {show_shape(tuple(shape))} {dtype} holds {end - start:,} bytes", (start, end))
    return TensorInfo(name, dtype, tuple(shape), start, end)


def _are_sizes(value: Any) -> bool:
    """Return True for a list of integers of 0 to 2^63 - 1; booleans are not integers."""
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**63 for item in value)
