"""Writers of safetensors and npz files, streamed: only one tensor is in memory at a time.

formats/caffe/write.py writes caffemodels, together with their prototxt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, cast
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy

from resnetgen.staging.files import Create, Output
from resnetgen.weights.checkpoint.npz import SUFFIX
from resnetgen.weights.checkpoint.safetensors import DTYPES
from resnetgen.wire.dtypes import Values


class Head(NamedTuple):
    """Type and shape of a tensor, known before its values."""

    dtype: str
    """Name of a numpy type."""
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize


Tensors = Iterable[tuple[str, Values]]
Heads = Mapping[str, Head]


def write_checkpoint(path: Path, format: str, heads: Heads, tensors: Tensors, create: Create = Output) -> None:
    """Write a new file, `safetensors` or `npz`. The same tensors give the same bytes.

    `tensors` are those of `heads`, in that order; each is asked for when the one before it is written. Raises OSError,
    and ValueError for a tensor that differs from its head.
    """
    _WRITERS[format](path, heads, tensors, create)


def write_safetensors(path: Path, heads: Heads, tensors: Tensors, create: Create = Output) -> None:
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers reads only files that say so
    at = 0
    for name, head in heads.items():
        end = at + head.nbytes
        header[name] = {"dtype": names[head.dtype], "shape": head.shape, "data_offsets": (at, end)}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the values
    with create(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, values in _checked(heads, tensors):
            file.write(values.data)


def write_npz(path: Path, heads: Heads, tensors: Tensors, create: Create = Output) -> None:
    """Write an npz file. Members are stored, not deflated: weights hardly shrink."""
    with create(path) as file, ZipFile(cast(Any, _Sink(file)), "w", ZIP_STORED) as archive:
        for name, values in _checked(heads, tensors):
            header = BytesIO()
            npy.write_array_header_1_0(header, npy.header_data_from_array_1_0(values))
            info = ZipInfo(name + SUFFIX)  # dated 1980 by default: the current time would change the bytes
            info.create_system = 3  # the same on every system
            info.file_size = header.tell() + values.nbytes
            with archive.open(info, "w") as member:
                member.write(header.getvalue())
                member.write(values.data)


_WRITERS: dict[str, Callable[[Path, Heads, Tensors, Create], None]] = {
    "safetensors": write_safetensors,
    "npz": write_npz,
}


def _checked(heads: Heads, tensors: Tensors) -> Tensors:
    for (expected, head), (name, values) in zip(heads.items(), tensors, strict=True):
        if (name, values.dtype.name, values.shape) != (expected, *head):
            announced = f"{expected} of {head.shape} {head.dtype}"
            raise ValueError(f"{name} of {values.shape} {values.dtype}, but {announced} was announced")
        yield name, np.ascontiguousarray(values).reshape(head.shape)


class _Sink:
    """Stream for zipfile to write to; it cannot seek."""

    def __init__(self, file: Output) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        self._file.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        pass
