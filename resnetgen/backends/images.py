"""Image files as a network's input: resized, cropped and normalised as torchvision does with Pillow.

Needs Pillow, the extra `images`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from resnetgen.backends.decode import FORMATS, check_size, decode, find_pillow
from resnetgen.errors import Code, Failure, FileError, LimitError, Problem
from resnetgen.preprocess import MAX_PIXELS, Color, Extent, Preprocess
from resnetgen.weights.source import Array

Bytes: TypeAlias = npt.NDArray[np.uint8]
_SOURCES = {Color.RGB: (0, 1, 2), Color.BGR: (2, 1, 0), Color.GRAY: (0,)}
"""Indices of the RGB channels that a network takes, in its order."""


def load_images(paths: Sequence[Path], preprocess: Preprocess) -> Array:
    """Return images as float32, N x C x H x W, for a network. Raises Failure like `load_bytes`."""
    return normalise(load_bytes(paths, preprocess), preprocess)


def load_bytes(paths: Sequence[Path], preprocess: Preprocess) -> Bytes:
    """Return images as uint8, N x H x W x C in RGB order, for a model with embedded preprocessing.

    Raises Failure: exit 2 if Pillow is missing, exit 5 if a file is not a readable image or too large, exit 6 if the
    network's own input is too large.
    """
    height, width = preprocess.crop
    if height * width > MAX_PIXELS:
        message = f"images of {height:,} x {width:,} pixels, which this network takes, are larger than {MAX_PIXELS:,}"
        raise LimitError.of(Code.LIMIT, message)
    return np.stack([_load(path, preprocess) for path in paths])


def readable(paths: Sequence[Path], preprocess: Preprocess, problems: list[Problem]) -> Iterator[tuple[Path, Bytes]]:
    """Yield the images that can be read; problems of the others are added to `problems`."""
    for path in paths:
        try:
            yield path, load_bytes([path], preprocess)
        except Failure as failure:
            if not isinstance(failure, FileError):  # not a fault of this image
                raise
            problems += failure.problems


def normalise(images: Bytes, preprocess: Preprocess) -> Array:
    """Return uint8 images, N x H x W x C in RGB order, as float32, N x C x H x W: (pixel / divide - mean) / std."""
    values = images[..., list(_SOURCES[preprocess.color])].astype(np.float32)
    # One rounding per step, in this order: the same bits as torchvision's.
    values /= np.float32(preprocess.divide)
    values -= np.array(preprocess.mean, np.float32)
    values /= np.array(preprocess.std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def image_files(folder: Path) -> list[Path]:
    """Return every file below a folder with an image's suffix, in the order of their paths.

    Raises Failure: exit 2 if Pillow is missing, exit 5 if there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise FileError.of(Code.MISSING_FILE, f"{folder} {what}", hint="give a folder of images")
    find_pillow()
    endings = {ending for endings in FORMATS.values() for ending in endings}
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings and path.is_file())
    if not found:
        hint = f"the names of images end in {' '.join(sorted(endings))}"
        raise FileError.of(Code.BAD_IMAGE, f"there are no images in {folder}", hint=hint)
    return found


def _load(path: Path, preprocess: Preprocess) -> Bytes:
    image = decode(path, preprocess.color is Color.GRAY)
    size = _resized(image.size, preprocess.resize)
    check_size(path, size)  # a long image becomes longer when its shorter side is resized
    if image.size != size:
        image = image.resize(size, find_pillow().Resampling[preprocess.interpolation.name])
    image = image.crop(_centre(size, preprocess.crop))  # the area beyond an image's edge is black
    return np.asarray(image).reshape(*preprocess.crop, preprocess.color.channels)


def _resized(size: tuple[int, int], resize: int | Extent | None) -> tuple[int, int]:
    """Return width and height; the longer side is rounded down, as in torchvision."""
    match resize:
        case None:
            return size
        case int(side):
            long = side * max(size) // min(size)
            return (side, long) if size[0] <= size[1] else (long, side)
        case (tall, wide):
            return wide, tall


def _centre(size: tuple[int, int], crop: Extent) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the crop. Half a pixel is rounded as in torchvision: to even,
    padding down."""
    left, top = (
        -((inner - outer) // 2) if inner > outer else round((outer - inner) / 2)
        for outer, inner in zip(size, reversed(crop), strict=True)
    )
    return left, top, left + crop[1], top + crop[0]
