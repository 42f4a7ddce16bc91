"""Damage to the members of a zip file, with checksums that are right again: CRC-32 would keep most of it out."""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from fuzz.mutate import octets, tokens
from fuzz.target import Mutate

Member = tuple[str, bytes, int]
"""Name, contents, and how they are compressed."""


@dataclass(frozen=True)
class Archive:
    """`inside`: what is done to a member whose name ends so; to others, bytes are done."""

    suffix: str
    inside: Mutate

    def __call__(self, data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(info.filename, archive.read(info), info.compress_type) for info in archive.infolist()]
        for _ in range(random.choice((1, 1, 2))):
            self._damage(members, random)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, held, method in members:
                if name not in archive.namelist():  # zipfile writes a second one, but warns
                    archive.writestr(name, held, method)
        return file.getvalue()

    def _damage(self, members: list[Member], random: Random) -> None:
        at = random.randrange(len(members))
        inside = [i for i, member in enumerate(members) if member[0].endswith(self.suffix)]
        if inside and random.random() < 0.8:
            at = random.choice(inside)
        name, held, method = members[at]
        match random.randrange(12):
            case 0:
                renamed = name + random.choice((*tokens.EVIL[:20], b"/", b".npy")).decode("latin-1")
                members[at] = (renamed.replace("\0", "_"), held, method)
            case 1 if len(members) > 1:
                del members[at]
            case 2:
                members[at] = (name, held, random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
            case 3:
                members[at] = (name, random.choice(members)[1], method)
            case _:
                mutate = self.inside if name.endswith(self.suffix) else octets.mutate
                members[at] = (name, mutate(held, random, (held,)), method)


def opcodes(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """Damage to a pickle, step by step."""
    steps = _steps(data)
    if len(steps) < 2:
        return octets.mutate(data, random, others)
    for _ in range(random.choice((1, 1, 2, 4))):
        at, to = random.randrange(len(steps)), random.randrange(len(steps))
        match random.randrange(6):
            case 0 if len(steps) > 2:
                del steps[at : at + random.choice((1, 1, 4))]
            case 1:
                steps[to:to] = steps[at : at + random.choice((1, 1, 4, 12))] * random.choice((1, 1, 2, 500))
            case 2:
                steps[at], steps[to] = steps[to], steps[at]
            case 3:
                steps[at] = octets.mutate(steps[at], random, others)
            case _:
                steps.insert(at, random.choice(STEPS))
        at = min(at, len(steps) - 1)
    return b"".join(steps)


STEPS: tuple[bytes, ...] = (
    *(bytes([code]) for code in b"(.0120NN]})tueasbQR\x81\x85\x86\x87\x88\x89\x94\x93"),
    *(b"K\x01", b"K\x02", b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"X\x01\x00\x00\x00a", b"c\x00\n", b"ca\nb\n"),
    *(b"J\xff\xff\xff\xff", b"J\x00\x00\x00\x80", b"\x8a\x09" + b"\xff" * 8 + b"\0", b"G\x7f\xf8" + bytes(6)),
)
"""Of the opcodes that the machine knows, with arguments that are mostly small."""


def _steps(data: bytes) -> list[bytes]:
    try:
        starts = [at for _, _, at in pickletools.genops(data) if at is not None]
    except Exception:  # pickletools raises whatever comes up
        return []
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def random_steps(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    """A pickle of random steps."""
    return b"\x80\x02" + b"".join(random.choices(STEPS, k=random.randrange(1, 40))) + b"."


@dataclass(frozen=True)
class Header:
    """Damage to the text behind a length of some bytes, with a length that is right again."""

    at: int
    width: int
    text: Mutate

    def __call__(self, data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
        start = self.at + self.width
        size = int.from_bytes(data[self.at : start], "little")
        text, rest = data[start : start + size], data[start + size :]
        text = self.text(text, random, (text,))
        length = (len(text) % (1 << 8 * self.width)).to_bytes(self.width, "little")
        return data[: self.at] + length + text + rest
