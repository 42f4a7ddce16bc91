"""Reader of numpy's .npz: a zip file of .npy members, stored or deflated; each is a header and its values."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from io import BytesIO
from math import prod
from tokenize import TokenError
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
from numpy.lib import format as npy

from resnetgen.weights.checkpoint.archive import Member, inflating, verify
from resnetgen.weights.checkpoint.contents import Contents, TensorInfo
from resnetgen.wire.access import Ranges
from resnetgen.wire.dtypes import DTYPES, MAX_RANK, Order, Values, loaded, stored

SUFFIX = ".npy"
_MAX_HEADER = 2048
"""Limit in bytes; numpy writes 128 for a tensor's shape and type. Parsing a damaged header takes quadratic time."""
_BAD_HEADER = (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError)
"""Exceptions that numpy and Python's parser raise for an invalid header."""
_MAX_RATIO = 64
"""Largest ratio by which a deflated file may grow. Weights hardly shrink; only constants do, up to a thousandfold."""
_SLACK = 16 << 20
"""Bytes allowed beyond the ratio, so that a small file may be all zeros."""


def read(ranges: Ranges, members: Mapping[str, Member]) -> Contents:
    """Read the list of arrays of an npz file. Raises ModelError if it is damaged or would inflate too much."""
    is_deflated = any(member.is_deflated for member in members.values())
    capacity = _MAX_RATIO * ranges.size + _SLACK if is_deflated else ranges.size
    claimed = sum(member.size for member in members.values())
    if claimed > capacity:
        what = f"its {ranges.size:,} bytes claim to inflate to {claimed:,}; {capacity:,} are allowed"
        raise ranges.refuse(what, hint="np.savez writes arrays that are not compressed")
    contents = Contents(ranges, capacity)
    for member in members.values():
        _add(contents, member)
    return contents


def _add(contents: Contents, member: Member) -> None:
    ranges = contents.ranges
    name = member.name.removesuffix(SUFFIX)
    called = f"the array {name[:200]!r}"
    head = _head(ranges, member)
    try:
        shape, is_fortran, described, skip = _parse(head)
    except _BAD_HEADER as error:
        raise ranges.refuse(f"{called} has no readable header: {type(error).__name__}", member.place) from None
    dtype = described.newbyteorder("=").name
    if dtype not in DTYPES or described.hasobject or described.shape:
        raise ranges.refuse(f"{called} is of the type {str(described)[:40]}, which is not read", member.place)
    if len(shape) > MAX_RANK or any(type(dim) is not int or not 0 <= dim < 2**63 for dim in shape):
        raise ranges.refuse(f"{called} has an invalid shape", member.place)
    if skip + prod(shape) * described.itemsize != member.size:
        what = f"{called} of {prod(shape):,} values of {dtype} has {member.size - skip:,} bytes"
        raise ranges.refuse(what, member.place)
    order: Order = ">" if described.byteorder == ">" else "<"
    start, end = (0, 0) if member.is_deflated or is_fortran else (member.start + skip, member.place[1])
    load = partial(_load, ranges, member, head[:skip], dtype, order, shape, is_fortran)
    contents.add(TensorInfo(name, dtype, shape, start, end), load)


def _head(ranges: Ranges, member: Member) -> bytes:
    if not member.is_deflated:
        return ranges.bytes(member.start, min(member.place[1], member.start + _MAX_HEADER))
    with inflating(ranges, member) as stream:
        return stream.read(_MAX_HEADER)


def _parse(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return the shape, True for Fortran order, the type, and the length of the header in bytes."""
    file = BytesIO(head)
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(version)
    parse = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with catch_warnings():  # numpy warns about headers that Python 2 wrote
        simplefilter("ignore")
        shape, is_fortran, dtype = parse(file, max_header_size=_MAX_HEADER)
    return shape, is_fortran, dtype, file.tell()


def _load(
    ranges: Ranges, member: Member, head: bytes, dtype: str, order: Order, shape: tuple[int, ...], is_fortran: bool
) -> Values:
    values = np.empty(shape[::-1] if is_fortran else shape, stored(dtype, order))
    if member.is_deflated:
        target = values.reshape(-1).view(np.uint8).data
        with inflating(ranges, member) as stream:
            stream.read(len(head))
            if stream.readinto(target) != len(target):  # reading to the end makes zipfile check the CRC-32
                raise ranges.refuse(f"the member {member.name!r} is truncated", member.place)
    else:
        verify(ranges, member, ranges.fill(values, member.start + len(head), zlib.crc32(head)))
    values = loaded(values, dtype)
    return values.T.copy("C") if is_fortran else values
