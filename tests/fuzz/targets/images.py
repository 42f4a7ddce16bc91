"""Image files, as predict, --calibrate and --data decode them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from fuzz.mutate.octets import mostly
from fuzz.mutate.tokens import Tokens
from fuzz.target import Target
from resnetgen.backends import decode, images
from resnetgen.cli.exits import Exit
from resnetgen.preprocess import Color, Interpolation, Preprocess

_PIXELS = 1 << 20
"""In place of the real limit, so that an input that promises many pixels takes no longer than another."""
_HOW = Preprocess(Color.RGB, 255, (0.5,) * 3, (0.5,) * 3, 40, (32, 32), Interpolation.BICUBIC)
_KINDS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    *(("JPEG", mode, options) for mode in ("RGB", "L", "CMYK") for options in ({}, {"progressive": True})),
    *(("PNG", mode, {}) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")),
    *(("TIFF", mode, {}) for mode in ("RGB", "RGBA", "L", "P", "1", "I;16", "F", "CMYK")),
    *(("TIFF", "RGB", {"compression": compression}) for compression in ("tiff_lzw", "tiff_adobe_deflate")),
    *(("WEBP", mode, options) for mode in ("RGB", "RGBA") for options in ({}, {"lossless": True})),
    *(("BMP", mode, {}) for mode in ("RGB", "L", "1")),
    *(("GIF", mode, {}) for mode in ("P", "L")),
    *(("PPM", mode, {}) for mode in ("RGB", "L", "1")),
)


def parse_image(data: bytes, folder: Path) -> None:
    path = folder / "image"
    path.write_bytes(data)
    with patch.object(decode, "MAX_PIXELS", _PIXELS):
        images.load_images([path], _HOW)


def image_seeds() -> list[bytes]:
    """Small pictures in every format and mode, some of several frames and with EXIF data."""
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    picture, wide = Image.fromarray(values), Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera of some maker"
    frames = {"save_all": True, "append_images": [picture, picture]}
    seeds = [_encoded(wide if mode == "I;16" else picture.convert(mode), kind, **more) for kind, mode, more in _KINDS]
    seeds += [_encoded(picture, kind, **frames) for kind in ("GIF", "PNG", "TIFF", "WEBP")]
    seeds += [_encoded(picture, kind, exif=exif) for kind in ("JPEG", "PNG", "TIFF", "WEBP")]
    plain = b"P3\n# plain\n4 2 15\n" + b" ".join(b"%d" % (value % 16) for value in range(24))
    return [*seeds, plain, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"]


def _encoded(picture: Any, kind: str, **options: Any) -> bytes:
    picture.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


IMAGES = (Target("images", parse_image, image_seeds, mostly(Tokens(), 0.8), frozenset({Exit.IO})),)
