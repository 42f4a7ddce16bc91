"""Damage to protobuf messages, field by field, with lengths that are right again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from fuzz.mutate import octets, tokens
from resnetgen.wire.fields import varint

_MAX_DEPTH = 6
_MAX_BYTES = 1 << 18

Payload: TypeAlias = "int | bytes | list[Field]"


@dataclass
class Field:
    number: int
    wire: int
    payload: Payload


Message: TypeAlias = list[Field]


def decoded(data: bytes, depth: int = 0) -> Message | None:
    """The fields of what may be a message; payloads that may be one themselves are decoded, too."""
    fields: Message = []
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        payload: Payload
        if at < 0 or number == 0:
            return None
        if wire == 0:
            payload, at = _varint(data, at)
        elif wire == 2:
            size, at = _varint(data, at)
            held = data[at : at + size] if at >= 0 else b""
            at += size
            inner = decoded(held, depth + 1) if depth < _MAX_DEPTH and held and not held.isascii() else None
            payload = held if inner is None else inner
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            payload, at = data[at : at + size], at + size
        else:
            return None
        if not 0 <= at <= len(data):
            return None
        fields.append(Field(number, wire, payload))
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and where it ends; -1 where it does not."""
    value = shift = 0
    while 0 <= at < len(data) and shift < 70:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at
    return 0, -1


def encoded(message: Message) -> bytes:
    out = []
    for field in message:
        payload = field.payload
        if isinstance(payload, list):
            payload = encoded(payload)
        out.append(varint(field.number << 3 | field.wire))
        if isinstance(payload, int):
            out.append(varint(payload))
        else:
            out += [varint(len(payload)), payload] if field.wire == 2 else [payload]
    return b"".join(out)


def messages(message: Message) -> list[Message]:
    """A message and all that are in it."""
    found = [message]
    for field in message:
        if isinstance(field.payload, list):
            found += messages(field.payload)
    return found


def mutate(data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
    whole = decoded(data)
    if not whole:
        return octets.mutate(data, random, others)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        message = random.choice([one for one in messages(whole) if one] or [whole])
        if message:
            random.choice(_STEPS)(message, random.randrange(len(message)), random)
    return encoded(whole)[:_MAX_BYTES]


Step = Callable[[Message, int, Random], None]


def _drop(message: Message, at: int, random: Random) -> None:
    del message[at]


def _double(message: Message, at: int, random: Random) -> None:
    message[at:at] = [message[at]] * random.choice((1, 1, 2, 40))


def _move(message: Message, at: int, random: Random) -> None:
    message.insert(random.randrange(len(message)), message.pop(at))


def _renumber(message: Message, at: int, random: Random) -> None:
    field = message[at]
    number = random.choice((random.randrange(1, 20), random.choice(message).number, 100, 2**29 - 1))
    message[at] = Field(number, field.wire, field.payload)


def _retype(message: Message, at: int, random: Random) -> None:
    number = message[at].number
    size = random.choice((4, 8))
    message[at] = random.choice(
        (
            Field(number, 0, _number(random)),
            Field(number, 2, random.randbytes(random.randrange(12))),
            Field(number, 5 if size == 4 else 1, random.randbytes(size)),
        )
    )


def _change(message: Message, at: int, random: Random) -> None:
    field = message[at]
    payload = field.payload
    if isinstance(payload, int):
        payload = random.choice((_number(random), payload ^ 1 << random.randrange(8), payload + 1))
    elif field.wire == 2:
        held = encoded(payload) if isinstance(payload, list) else payload
        payload = random.choice((_text, octets.mutate))(held, random, (held,))
    else:
        payload = random.choice((bytes(len(payload)), random.randbytes(len(payload)), b"\0" * 2 + b"\x80\x7f"))
        payload = payload[:8].rjust(8 if field.wire == 1 else 4, b"\0")[-(8 if field.wire == 1 else 4) :]
    message[at] = Field(field.number, field.wire, payload)


def _text(data: bytes, random: Random, _: Sequence[bytes]) -> bytes:
    return random.choice((b"", random.choice(tokens.EVIL), data + random.choice(tokens.EVIL), data[:-1]))


def _number(random: Random) -> int:
    return random.choice(
        (0, 1, 2, 3, 7, 10, 127, 2**16, 2**31 - 1, 2**31, 2**63 - 1, 2**64 - 1, random.getrandbits(64))
    )


_STEPS: tuple[Step, ...] = (_drop, _double, _move, _renumber, _retype, _change, _change, _change)
