"""Directory of a zip file: the positions of its members. Stored members are read from the file directly.

zipfile reads the directory and inflates; the claims that it does not check are checked here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipExtFile, ZipFile, ZipInfo

from msgspec import Struct

from resnetgen.weights.checkpoint.contents import MAX_TENSORS
from resnetgen.wire.access import Place, Ranges

MAX_MEMBERS = MAX_TENSORS + 1000
"""One member per tensor, and those that the format adds."""
_MAX_DIRECTORY = 16 << 20
"""Limit in bytes: MAX_MEMBERS members need less, and a directory takes ten times its size in memory."""
_LOCAL = struct.Struct("<4s22xHH")
"""The fields of a member's header that are needed: signature, and the lengths of the name and of the extra field."""
_MAX_END = (1 << 16) + 256
"""Bytes at the end of the file that are searched for the end records, which may contain a long comment."""
_ENCRYPTED = 0x1
_BROKEN = (BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, struct.error, zlib.error)
"""Exceptions that zipfile raises for bytes that are not a zip file."""


class Member(Struct, frozen=True):
    info: ZipInfo
    start: int
    """Offset of its stored bytes in the file."""

    @property
    def name(self) -> str:
        return self.info.filename

    @property
    def size(self) -> int:
        """Size in bytes of the uncompressed contents; larger than the stored size if it is deflated."""
        return self.info.file_size

    @property
    def place(self) -> Place:
        return self.start, self.start + self.info.compress_size

    @property
    def is_deflated(self) -> bool:
        return self.info.compress_type == ZIP_DEFLATED


def read_members(ranges: Ranges) -> dict[str, Member]:
    """Return the members by name, in the directory's order.

    Raises ModelError for a file that is not a zip file or truncated, and for members that are encrypted,
    compressed by a rare method, or not where the directory says.
    """
    with ranges.open() as file:
        try:
            infos = ZipFile(cast(Any, _Bounded(file, ranges.size))).infolist()
        except _BROKEN as error:
            raise ranges.refuse(f"not a zip file, or truncated: {error}") from None
        if len(infos) != (announced := _announced(file, ranges.size)):
            raise ranges.refuse(f"its directory has {len(infos):,} members; its end record says {announced:,}")
        if len(infos) > MAX_MEMBERS:
            raise ranges.refuse(f"it has {len(infos):,} members; {MAX_MEMBERS:,} are allowed")
        members: dict[str, Member] = {}
        for info in infos:
            if info.filename in members:
                raise ranges.refuse(f"two members are called {info.filename[:200]!r}")
            members[info.filename] = _member(ranges, file, info)
    return members


def read_member(ranges: Ranges, member: Member, limit: int) -> bytes:
    """Return the contents of a small stored member. Raises ModelError if it is compressed, larger than `limit`
    bytes or damaged."""
    if member.is_deflated:
        raise ranges.refuse(f"the member {member.name!r} is compressed", member.place)
    if member.size > limit:
        what = f"the member {member.name!r} has {member.size:,} bytes; {limit:,} are allowed"
        raise ranges.refuse(what, member.place)
    data = ranges.bytes(*member.place)
    verify(ranges, member, zlib.crc32(data))
    return data


def verify(ranges: Ranges, member: Member, check: int) -> None:
    """Compare the CRC-32 of a member with the directory's, unless that is 0: torch writes 0 if told not to compute it.

    Raises ModelError if they differ.
    """
    if member.info.CRC not in (0, check):
        what = f"the member {member.name!r} is damaged: its CRC-32 is {check:08x}, not {member.info.CRC:08x}"
        raise ranges.refuse(what, member.place)


@contextmanager
def inflating(ranges: Ranges, member: Member) -> Iterator[ZipExtFile]:
    """Open a deflated member as a stream that inflates as it is read, up to the claimed size.

    Raises ModelError if the member is damaged.
    """
    with ranges.open() as file:
        file.seek(member.start)
        try:
            yield ZipExtFile(cast(Any, file), "r", member.info)
        except _BROKEN as error:
            raise ranges.refuse(f"the member {member.name!r} is damaged: {error}", member.place) from None


def _announced(file: BinaryIO, size: int) -> int:
    """Return the number of members in the record at the end of the file. zipfile does not check it, and would miss
    members that a damaged directory hides."""
    file.seek(max(0, size - _MAX_END))
    tail = file.read(_MAX_END)
    end = tail.rfind(b"PK\5\6")
    count = int.from_bytes(tail[end + 10 : end + 12], "little")
    large = tail.rfind(b"PK\6\6", 0, end)
    return int.from_bytes(tail[large + 32 : large + 40], "little") if count == 0xFFFF and large >= 0 else count


def _member(ranges: Ranges, file: BinaryIO, info: ZipInfo) -> Member:
    called = f"the member {info.filename[:200]!r}"
    head = (info.header_offset, info.header_offset + _LOCAL.size)
    if head[0] < 0 or head[1] > ranges.size:
        raise ranges.refuse(f"{called} begins beyond the file, which has {ranges.size:,} bytes", head)
    if info.flag_bits & _ENCRYPTED:
        raise ranges.refuse(f"{called} is encrypted", head)
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ranges.refuse(f"{called} is compressed by method {info.compress_type}, which is not read", head)
    file.seek(head[0])
    signature, name, extra = _LOCAL.unpack(file.read(_LOCAL.size))
    member = Member(info, head[1] + name + extra)
    if signature != b"PK\3\4" or member.place[1] > ranges.size:
        raise ranges.refuse(f"{called} is truncated, or not where the directory says", member.place)
    if not member.is_deflated and info.file_size != info.compress_size:
        raise ranges.refuse(f"{called} is stored, but claims {info.file_size:,} bytes", member.place)
    return member


class _Bounded:
    """A file from which zipfile reads the directory: seeks outside the file and very long reads are refused."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self.tell = file.tell
        self.seekable = file.seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset + (0, self._file.tell(), self._size)[whence]
        if not 0 <= at <= self._size:
            raise BadZipFile(f"its directory lies at byte {at:,} of {self._size:,}")
        return self._file.seek(at)

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_DIRECTORY:
            raise BadZipFile(f"its directory claims {size:,} bytes; {_MAX_DIRECTORY:,} are allowed")
        return self._file.read(size)
