"""Pictures of every type of pixel, and what comes of opening them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PIL

from resnetgen.backends.decode import decode
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
SCALED = np.round(RAMP / 257).astype(np.uint8)
"""RAMP in eight bits: 0 stays black, and 65,535 becomes 255."""


def pixels(path: Path, gray: bool = False) -> np.ndarray:
    return np.asarray(decode(path, gray))


def refusal(path: Path) -> str:
    with pytest.raises(Failure) as caught:
        decode(path, False)
    (problem,) = caught.value.problems
    assert (exit_code(caught.value), problem.code) == (Exit.IO, Code.BAD_IMAGE)
    assert problem.hint
    assert problem.message.startswith(f"{path}: ")
    return problem.message.removeprefix(f"{path}: ")


def picture(mode: str = "RGB") -> Any:
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    return PIL.fromarray(values).convert(mode)


def png(values: np.ndarray, color: int) -> bytes:
    """A PNG of 16 bits, of which Pillow writes only some."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, color, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
