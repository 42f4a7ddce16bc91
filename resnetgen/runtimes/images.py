"""Image files -> what a network takes: resized, cut out, normalised as torchvision does it with Pillow.

Pillow is needed, the extra `images`. An image's EXIF orientation is not looked at, as torchvision does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from resnetgen.errors import Code, Exit, Failure, Problem, fail
from resnetgen.preprocess import Color, Extent, Preprocess
from resnetgen.weights.source import Array

Bytes: TypeAlias = npt.NDArray[np.uint8]
_MAX_PIXELS = 1 << 27
"""Of an image, as it is and resized."""
_SOURCES = {Color.RGB: (0, 1, 2), Color.BGR: (2, 1, 0), Color.GRAY: (0,)}
"""For each channel that the network sees, which of an RGB image's it is."""


def load_images(paths: Sequence[Path], preprocess: Preprocess) -> Array:
    """N x C x H x W of float32, for a network. Raises Failure as `load_bytes`."""
    return normalise(load_bytes(paths, preprocess), preprocess)


def load_bytes(paths: Sequence[Path], preprocess: Preprocess) -> Bytes:
    """N x H x W x C in the order RGB, for a model that has its preprocessing embedded.

    Raises Failure: exit 2 where Pillow is missing, 5 where a file is no image that can be read or a too large one.
    """
    return np.stack([_load(path, preprocess) for path in paths])


def readable(paths: Sequence[Path], preprocess: Preprocess, problems: list[Problem]) -> Iterator[tuple[Path, Bytes]]:
    """The images that can be read; what is wrong with the others is added to `problems`."""
    for path in paths:
        try:
            yield path, load_bytes([path], preprocess)
        except Failure as failure:
            if failure.exit is not Exit.IO:  # it is no fault of this image
                raise
            problems += failure.problems


def normalise(images: Bytes, preprocess: Preprocess) -> Array:
    """N x H x W x C in the order RGB -> N x C x H x W of float32: (pixel / divide - mean) / std."""
    values = images[..., list(_SOURCES[preprocess.color])].astype(np.float32)
    # One rounding a step and in this order: the same bits as torchvision's.
    values /= np.float32(preprocess.divide)
    values -= np.array(preprocess.mean, np.float32)
    values /= np.array(preprocess.std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def image_files(folder: Path) -> list[Path]:
    """Every file below a folder that is called as an image is, in the order of their paths.

    Raises Failure: exit 2 where Pillow is missing, 5 where there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise fail(Exit.IO, Code.MISSING_FILE, f"{folder} {what}", hint="give a folder of images")
    endings = _pillow().registered_extensions()
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not found:
        hint = "images are JPEG, PNG, WebP ..., told by the endings of their names"
        raise fail(Exit.IO, Code.BAD_IMAGE, f"there are no images in {folder}", hint=hint)
    return found


def _load(path: Path, preprocess: Preprocess) -> Bytes:
    pillow = _pillow()
    try:
        with path.open("rb") as file, pillow.open(file) as image:
            _check_pixels(path, image.size)
            image = image.convert("L" if preprocess.color is Color.GRAY else "RGB")
    except Failure:
        raise
    except OSError as error:
        if error.strerror:
            raise fail(Exit.IO, Code.MISSING_FILE, f"cannot read {path}: {error.strerror}") from None
        raise _bad(path, str(error)) from None
    except Exception as error:  # Pillow's decoders raise whatever a broken file leads them to
        raise _bad(path, str(error) or type(error).__name__) from None
    width, height = _resized(image.size, preprocess.resize)
    _check_pixels(path, (width, height))
    if image.size != (width, height):
        image = image.resize((width, height), pillow.Resampling[preprocess.interpolation.name])
    image = image.crop(_centre((width, height), preprocess.crop))  # beyond its edge an image is black
    return np.asarray(image).reshape(*preprocess.crop, preprocess.color.channels)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        hint = "pip install 'resnetgen[images]'"
        raise fail(Exit.USAGE, Code.UNSUPPORTED, "images are read by Pillow, which is missing", hint=hint) from None
    return Image


def _bad(path: Path, what: str) -> Failure:
    hint = "an image is a file that Pillow reads: JPEG, PNG, WebP ..."
    return fail(Exit.IO, Code.BAD_IMAGE, f"{path}: it is no image, or a broken one: {what}", hint=hint)


def _check_pixels(path: Path, size: tuple[int, int]) -> None:
    """Before memory is taken: a file of a few bytes may promise any size, and a long one becomes longer resized."""
    width, height = size
    if width * height > _MAX_PIXELS:
        message = f"{path}: an image of {width:,} x {height:,} pixels is larger than {_MAX_PIXELS:,}"
        raise fail(Exit.IO, Code.BAD_IMAGE, message)


def _resized(size: tuple[int, int], resize: int | Extent | None) -> tuple[int, int]:
    """Width and height, the longer one rounded down as torchvision does."""
    match resize:
        case None:
            return size
        case int(side):
            short, long = min(size), int(side * max(size) / min(size))
            return (side, long) if size[0] == short else (long, side)
        case (tall, wide):
            return wide, tall


def _centre(size: tuple[int, int], crop: Extent) -> tuple[int, int, int, int]:
    """Left, top, right, bottom. Half a pixel is rounded as torchvision does: to the even number, padding down."""
    left, top = (
        -((inner - outer) // 2) if inner > outer else round((outer - inner) / 2)
        for outer, inner in zip(size, reversed(crop), strict=True)
    )
    return left, top, left + crop[1], top + crop[0]
