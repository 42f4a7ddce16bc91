"""Damage to text by its words, signs and lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

_TOKEN = re.compile(rb"\w+|[ \t]+|.", re.DOTALL)
_MAX_BYTES = 1 << 18
"""Copies of copies grow fast; what is longer is damaged no further."""

EVIL: tuple[bytes, ...] = (
    *(b"0", b"-1", b"1.5", b"1e9", b"-0.0", b"1e400", b"9007199254740993", b"9" * 18, b"9" * 400, b"9" * 5000, b"0x7"),
    *(b"nan", b"inf", b"-inf", b"Infinity", b"NaN", b"true", b"null", b"~", b"NO", b"1:30", b"017", b"1_000", b"2**9"),
    *(b"\0", b"\x7f", b"\x1b[2J", b"\xff", b"\xc3\xa9", b"\xe2\x80\xae", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"\xe2\x80\xa8", b"\xc2\x85", b"\xf0\x9f\x98\x80", b"\xd9\xa3", b"\r", b"\r\n", b"\t", b"\f", b"\v"),
    *(b"'", b'"', b"\\", b"\\u", b"\\ud800", b"\\x", b"{", b"}", b"[", b"]", b"(", b")", b"<", b">", b",", b";"),
    *(
        b":",
        b": ",
        b"#",
        b" # ",
        b"&a ",
        b"*a",
        b"!!python/name:os.system ",
        b"!a ",
        b"<<: ",
        b"? ",
        b"- ",
        b"|",
        b">-",
    ),
    *(b"---\n", b"...\n", b"%YAML 1.1\n", b"../../evil", b"/dev/zero", b"a" * 300, b"$", b"$$", b"%", b"@", b"`"),
)
"""What has broken parsers."""


@dataclass(frozen=True)
class Tokens:
    """`words`: of the language, to be put where others stand."""

    words: tuple[bytes, ...] = ()

    def __call__(self, data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
        for _ in range(random.choice((1, 1, 1, 2, 2, 3, 6))):
            if len(data) > _MAX_BYTES:
                break
            data = self._lines(data, random) if random.random() < 0.25 else self._tokens(data, random, others)
        return data

    def _tokens(self, data: bytes, random: Random, others: Sequence[bytes]) -> bytes:
        tokens = _TOKEN.findall(data) or [b""]
        at = random.randrange(len(tokens))
        random.choice(_STEPS)(tokens, at, random, self._word(random, others))
        return b"".join(tokens)

    def _word(self, random: Random, others: Sequence[bytes]) -> bytes:
        kind = random.random()
        if kind < 0.4 and self.words:
            return random.choice(self.words)
        if kind < 0.7:
            return random.choice(EVIL)
        return random.choice(_TOKEN.findall(random.choice(others)) or [b""])

    def _lines(self, data: bytes, random: Random) -> bytes:
        lines = data.split(b"\n")
        at, to = random.randrange(len(lines)), random.randrange(len(lines))
        match random.randrange(5):
            case 0:
                del lines[at]
            case 1:
                lines.insert(to, lines[at])
            case 2:
                lines[at], lines[to] = lines[to], lines[at]
            case 3:
                lines[at] = b" " * random.randrange(5) + lines[at].lstrip(b" ")
            case _:
                lines[at : at + 2] = [random.choice((b"", b" ", b", ")).join(lines[at : at + 2])]
        return b"\n".join(lines)


Step = Callable[[list[bytes], int, Random, bytes], None]


def _drop(tokens: list[bytes], at: int, random: Random, word: bytes) -> None:
    del tokens[at : at + random.choice((1, 1, 1, 3, 9))]


def _replace(tokens: list[bytes], at: int, random: Random, word: bytes) -> None:
    tokens[at] = word


def _insert(tokens: list[bytes], at: int, random: Random, word: bytes) -> None:
    tokens.insert(at, word)


def _swap(tokens: list[bytes], at: int, random: Random, word: bytes) -> None:
    to = random.randrange(len(tokens))
    tokens[at], tokens[to] = tokens[to], tokens[at]


def _repeat(tokens: list[bytes], at: int, random: Random, word: bytes) -> None:
    """One token or a few, often enough to be too deep or too many."""
    piece = tokens[at : at + random.choice((1, 1, 2, 4, 8))]
    times = random.choice((1, 2, 3, 20, 120, random.choice((40, 1500, 4000))))
    tokens[at:at] = piece * min(times, 1 + _MAX_BYTES // (1 + sum(map(len, piece))))


def _move(tokens: list[bytes], at: int, random: Random, word: bytes) -> None:
    to = random.randrange(len(tokens))
    tokens[to:to] = tokens[at : at + random.choice((1, 2, 5, 20))]


_STEPS: tuple[Step, ...] = (_drop, _replace, _replace, _insert, _swap, _repeat, _move)
