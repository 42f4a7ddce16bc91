"""Decoder of image files to 8-bit pictures. The only place where Pillow opens a file.

Pillow chooses a format by the content of a file, and for some formats it starts another program: Ghostscript for
PostScript. It is therefore limited to the formats of `FORMATS`, which it decodes in this process.

A picture is what torchvision's and timm's data sets read, `Image.open(path).convert("RGB")`: the first frame, without
its alpha channel, and not turned by its EXIF orientation (Pillow itself applies that of a TIFF).
"""

from __future__ import annotations

import logging
import os
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from resnetgen.errors import Code, Failure, FileError, LimitError, UsageError
from resnetgen.inputs import open_input, read_failure
from resnetgen.preprocess import MAX_PIXELS, MAX_SIDE

Picture: TypeAlias = Any
"""A PIL.Image.Image of mode L or RGB; Any, because Pillow may be missing where types are checked."""

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}
"""Supported formats by Pillow's names, and the suffixes of their files."""
MAX_BYTES = 1 << 29
"""Limit in bytes of an image file: four for each of the allowed pixels."""
_SILENT = logging.NullHandler()
"""Pillow logs errors that it raises as well; without this, Python would print them if logging is not set up."""
_BROKEN_HINT = "it may be cut short; copy it or save it again"
_HINT = "an image is a JPEG, PNG, WebP, BMP, GIF, TIFF or PPM file; convert it to one of them"
_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK"}
"""Pillow's names of pixel types of at most eight bits per channel, which it converts to grey and to RGB."""
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_SAMPLES = 258, 262, 339
"""TIFF tags: BitsPerSample, PhotometricInterpretation, SampleFormat."""
_UNBOUND = {"I": "32 bits or with a sign", "F": "float numbers"}
_RANGE_HINT = "scale its values to whole numbers of 8 or 16 bits, 0 for black"


def decode(path: Path, gray: bool) -> Picture:
    """Return the first picture of an image file, grey or RGB.

    Raises Failure: exit 2 if Pillow is missing; exit 5 if the file cannot be read, is not an image of `FORMATS`, is
    broken or too large, or if its pixels have no stated range; exit 6 if memory does not suffice.
    """
    pillow = find_pillow()
    with open_input(path) as file, warnings.catch_warnings():
        # Pillow warns about unused metadata, about palettes whose transparency is dropped (as intended), and about
        # sizes, which are limited here. Faults of the pixels are exceptions.
        warnings.simplefilter("ignore")
        try:
            return _decode(path, file, pillow, gray)
        except Failure:
            raise
        except MemoryError:
            raise LimitError.of(Code.LIMIT, f"{path}: there is not enough memory for this image") from None
        except pillow.DecompressionBombError:
            raise _bad(path, f"an image of more than {MAX_PIXELS:,} pixels is not read", "make it smaller") from None
        except pillow.UnidentifiedImageError:
            raise _bad(path, "it is no image of a format that is read, or a broken one") from None
        except OSError as error:
            if error.strerror:
                raise read_failure(str(path), error) from None
            raise _bad(path, f"it is a broken image: {error}", _BROKEN_HINT) from None
        except Exception as error:  # Pillow's decoders raise any exception for a broken file
            raise _bad(path, f"it is a broken image: {error or type(error).__name__}", _BROKEN_HINT) from None


def find_pillow() -> Any:
    """Return the module PIL.Image. Raises UsageError if it is missing."""
    try:
        from PIL import Image
    except ImportError:
        hint = "pip install 'resnetgen[images]'"
        raise UsageError.of(Code.UNSUPPORTED, "images are read by Pillow, which is missing", hint=hint) from None
    logging.getLogger("PIL").addHandler(_SILENT)
    return Image


def check_size(path: Path, size: tuple[int, int]) -> None:
    """Check width and height against the limits before memory is allocated. Raises FileError."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise _bad(path, f"an image of {width:,} x {height:,} pixels is larger than {MAX_PIXELS:,}", "make it smaller")
    if max(size) > MAX_SIDE:
        raise _bad(path, f"an image of {width:,} x {height:,} pixels is longer than {MAX_SIDE:,}", "make it smaller")


def _decode(path: Path, file: BinaryIO, pillow: Any, gray: bool) -> Picture:
    if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
        raise _bad(path, f"an image file of {size:,} bytes is larger than {MAX_BYTES:,}", "make it smaller")
    # Not the file itself: Pillow would allocate as many bytes as a part of the file claims to have.
    with pillow.open(BytesIO(file.read(size)), formats=tuple(FORMATS)) as image:
        check_size(path, image.size)
        _check_pixels(path, image)
        image.load()
        if image.mode not in _MODES:
            image = pillow.fromarray(_to_eight_bits(np.asarray(image)))
        image.info.pop("transparency", None)  # alpha is dropped; Pillow would make it anew from this
        return image.convert("L" if gray else "RGB")


def _to_eight_bits(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Return round(value / 257), so that 65,535 becomes 255; Pillow would turn every value above 255 into 255."""
    scaled = np.empty(values.shape, np.uint8)
    for given, row in zip(values, scaled, strict=True):  # row by row, since the sum needs more than 16 bits
        row[:] = (given.astype(np.uint32) + 128) // 257
    return scaled


def _check_pixels(path: Path, image: Any) -> None:
    """Check for pixels that Pillow does not read, or reads with other values than the file's. Raises Failure
    (exit 5)."""
    # Pillow reads PNG and PPM of 16-bit grey as mode I or I;16, depending on its version.
    is_wide = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode in ("I", "F") and not is_wide:
        raise _bad(path, f"pixels of {_UNBOUND[image.mode]} have no stated range from black to white", _RANGE_HINT)
    if image.mode not in _MODES and not is_wide:
        raise _bad(path, f"pixels of Pillow's mode {image.mode} are not read", "save it as grey or RGB of 8 bits")
    if image.format != "TIFF":
        return
    if (compression := image.info.get("compression", "raw")) != "raw":  # libtiff prints its errors itself
        raise _bad(path, f"a TIFF of compression {compression} is not read", "save it uncompressed, or as PNG")
    if set(image.tag_v2.get(_TIFF_SAMPLES, (1,))) != {1}:
        raise _bad(path, "pixels with a sign have no stated range from black to white", _RANGE_HINT)
    is_plain = (image.tag_v2.get(_TIFF_BITS), image.tag_v2.get(_TIFF_PHOTOMETRIC)) == ((16,), 1)
    if is_wide and not is_plain:
        raise _bad(path, "a grey TIFF of more than 8 bits is read with 16 bits alone, 0 for black", _RANGE_HINT)


def _bad(path: Path, message: str, hint: str = _HINT) -> Failure:
    return FileError.of(Code.BAD_IMAGE, f"{path}: {message}", hint=hint)
