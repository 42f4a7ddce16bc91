"""Images for calibration, by which a quantiser finds the ranges of activations, and for comparing two precisions."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from resnetgen.backends.images import image_files, normalise, readable
from resnetgen.errors import Code, FileError, Problem, UsageError
from resnetgen.paths import real_path
from resnetgen.preprocess import Preprocess
from resnetgen.ranges import require_room
from resnetgen.verification import npy
from resnetgen.verification.input_images import InputFormat, make_inputs, random_images
from resnetgen.verification.settings import Settings

RANDOM = 16
"""Number of random images; more hardly change the ranges."""
AT_MOST = 256
"""Limit of images from a folder; taken at even steps, since folders are often sorted by class."""


class Images(Struct, frozen=True):
    data: npt.NDArray[Any]
    """Images in the model's input format; or pictures not yet normalised, N x H x W x C of uint8, a quarter of the
    size."""
    origin: str
    """Source, as text: 16 random images; 12 images of pictures/; 256 of the 4,000 images of pictures/."""
    preprocess: Preprocess | None = None
    """Preprocessing still to be applied to `data`; None for none."""

    def batches(self, size: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the images in the model's input format, `size` at a time; the last batch is filled up by repeating its
        last image."""
        for start in range(0, len(self.data), size):
            part = self.data[start : start + size]
            part = np.pad(part, [(0, size - len(part)), *[(0, 0)] * (part.ndim - 1)], mode="edge")
            yield normalise(part, self.preprocess) if self.preprocess else part

    @property
    def digest(self) -> str:
        return sha256(np.ascontiguousarray(self.data).data).hexdigest()


def load(source: Path | None, count: int | None, format: InputFormat, preprocess: Preprocess | None) -> Images:
    """Load images: from a folder of pictures, or from a .npy or .npz file in the model's input format; None for random
    ones.

    Raises Failure: exit 2 for pictures without a preprocessing; exit 5 if there are no images, and for each picture
    that cannot be read.
    """
    if source is None:
        number = count or RANDOM
        require_room(number, format.shape, "--calibration-images")
        return Images(random_images(number, format, seed=0), f"{number} random images")
    if source.suffix in npy.SUFFIXES:
        arrays = make_inputs(format, (1,), Settings(data=(source,)), None)
        if not np.isfinite(arrays.data).all():
            raise npy.bad(source, "its images hold NaN or infinite values")
        data = _evenly(arrays.data, count or AT_MOST)
        return Images(data, f"{_some(len(data), len(arrays.data))} of {source.name}")
    if preprocess is None:
        hint = "write `preprocess:` in the spec, or give a .npy or .npz file of images as the network takes them"
        message = f"--calibrate {source}: nothing says how this network is to see a picture"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)
    paths = image_files(source)
    taken = _evenly(paths, count or AT_MOST)
    require_room(len(taken), (*preprocess.crop, preprocess.color.channels), "--calibration-images")
    origin = f"{_some(len(taken), len(paths))} of {real_path(source).name}/"
    return Images(_pictures(taken, preprocess), origin, None if format.is_bytes else preprocess)


def _pictures(paths: list[Path], preprocess: Preprocess) -> npt.NDArray[np.uint8]:
    """Return the pixels of pictures. Raises FileError that lists every one that cannot be read."""
    problems: list[Problem] = []
    read = [pixels for _, pixels in readable(paths, preprocess, problems)]
    if problems:
        raise FileError(tuple(problems))
    return np.concatenate(read)


def _some(taken: int, total: int) -> str:
    return f"{total:,} images" if taken == total else f"{taken:,} of the {total:,} images"


def _evenly(items: Any, count: int) -> Any:
    """Return at most `count` items, from the first to the last in equal steps."""
    if len(items) <= count:
        return items
    picked = [index * len(items) // count for index in range(count)]
    return items[picked] if isinstance(items, np.ndarray) else [items[index] for index in picked]
