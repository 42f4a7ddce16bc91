"""Images for all backends: random ones from a seed, or those of files."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from resnetgen.backends import images
from resnetgen.errors import Code, UsageError
from resnetgen.ir.ops import Shape
from resnetgen.preprocess import Preprocess
from resnetgen.ranges import require_room
from resnetgen.verification import npy
from resnetgen.verification.settings import Settings


class InputFormat(Struct, frozen=True):
    """Input format of a network: shape of one image, and type of its elements."""

    shape: Shape
    dtype: np.dtype[Any]

    @property
    def is_bytes(self) -> bool:
        """True for stored images, HxWxC of bytes, which a model with embedded preprocessing takes."""
        return self.dtype == np.uint8

    @property
    def whole(self) -> InputFormat:
        """The format in float32 if it is float16: the input of one backend can be rounded for another."""
        return InputFormat(self.shape, np.dtype(np.float32)) if self.dtype == np.float16 else self

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))} of {self.dtype}"


class Part(Struct, frozen=True):
    """Images of one run."""

    first: int
    """Index of the first image."""
    data: npt.NDArray[Any]

    def pieces(self, size: int) -> Iterator[Part]:
        for start in range(0, len(self.data), size):
            yield Part(self.first + start, self.data[start : start + size])


class Inputs(Struct, frozen=True):
    data: npt.NDArray[Any]
    """All images."""
    origin: str
    """Source as text: `random, seed 0`, or the files."""

    @property
    def digest(self) -> str:
        """SHA-256 of the images: saved outputs are compared only with those of the same images."""
        return sha256(self.data.tobytes()).hexdigest()

    def parts(self, batch: int) -> list[Part]:
        return list(Part(0, self.data).pieces(batch))


def make_inputs(
    format: InputFormat, batches: tuple[int, ...], settings: Settings, preprocess: Preprocess | None
) -> Inputs:
    """Return the images. Raises Failure for files without images of this format, and for too many images."""
    if settings.data:
        read = [_read(path, format, preprocess) for path in settings.data]
        return Inputs(np.concatenate(read), ", ".join(path.name for path in settings.data))
    count = settings.inputs or max(batches)
    require_room(count, format.shape, "random images")
    return Inputs(random_images(count, format, settings.seed), f"random, seed {settings.seed}")


def random_images(count: int, format: InputFormat, seed: int) -> npt.NDArray[Any]:
    """Return random images: standard normal values, like those of a normalised image; for bytes, uniform ones."""
    random, shape = np.random.default_rng(seed), (count, *format.shape)
    if format.dtype == np.uint8:
        return random.integers(0, 256, shape, np.uint8)
    return random.standard_normal(shape, np.float32).astype(format.dtype)


def adapted(part: Part, given: InputFormat, required: InputFormat | None, preprocess: Preprocess | None) -> Part:
    """Return the same images for a backend with another format: bytes are normalised here, in numpy."""
    if required is None or required == given:
        return part
    values = images.normalise(part.data, preprocess) if given.is_bytes and preprocess else part.data
    return Part(part.first, values.astype(required.dtype))


def _read(path: Path, format: InputFormat, preprocess: Preprocess | None) -> npt.NDArray[Any]:
    """Return the images of a file: N of them, or one."""
    if path.suffix not in npy.SUFFIXES:
        return _image(path, format, preprocess)
    arrays = npy.load(path)
    if len(arrays) != 1:
        raise npy.bad(path, f"it has {len(arrays)} arrays, not one: {', '.join(arrays)}")
    (data,) = arrays.values()
    data = data[np.newaxis] if data.ndim == len(format.shape) else data
    if not data.size or data.shape[1:] != format.shape or data.dtype != format.dtype:
        raise npy.bad(path, f"it has images of {data.shape} of {data.dtype}; the network takes images of {format}")
    return np.ascontiguousarray(data)


def _image(path: Path, format: InputFormat, preprocess: Preprocess | None) -> npt.NDArray[Any]:
    """Return a picture, preprocessed as the spec defines it. Raises UsageError if it defines nothing."""
    if not preprocess:
        hint = "write `preprocess:` in the spec, or give a .npy or .npz file of images as the network takes them"
        message = f"--data {path}: nothing says how this network is to see a picture"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)
    read = images.load_bytes([path], preprocess) if format.is_bytes else images.load_images([path], preprocess)
    if read.shape[1:] != format.shape:
        made = "x".join(map(str, read.shape[1:]))
        raise npy.bad(path, f"the preprocessing makes it {made}; the network takes images of {format}")
    return read
