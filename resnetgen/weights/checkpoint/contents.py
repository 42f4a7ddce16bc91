"""Checkpoint: named tensors, whose values are read only when asked for."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path

from msgspec import Struct, field

from resnetgen.errors import Failure
from resnetgen.wire.access import Place, Ranges
from resnetgen.wire.dtypes import MAX_RANK, Values, show_shape, width

MAX_TENSORS = 100_000
"""Limit per file; ResNet-152 has 932, and a network of 20,000 nodes about 60,000."""
MAX_NAME = 1024
"""Limit in characters; the longest names of common libraries have about 100."""
_REUSE = 4
"""Limit of the tensors' total size as a multiple of the file's: tied weights share bytes, usually two tensors. Without
this limit a small file could refer to the same bytes a hundred thousand times."""
_SLACK = 1 << 20
"""Bytes that may always be shared: a tensor of a few values takes less than its tensor in the file."""

Load = Callable[[], Values]
"""Function that reads the values of a tensor, each time anew."""


class TensorInfo(Struct, frozen=True):
    """A tensor of a file. Bytes `start` to `end` are its values if they are contiguous and in order, else both
    are 0."""

    name: str
    dtype: str
    """Type as stored: float32, float16, bfloat16, float64, int64, ..."""
    shape: tuple[int, ...]
    start: int = 0
    end: int = 0
    file: str = ""
    """Name of the file next to this one that contains the bytes; empty for this one."""

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the values as stored, uncompressed."""
        return self.elements * width(self.dtype)


class Contents(Struct):
    """Tensors of a file that is being opened: each is checked against the limits when it is added."""

    ranges: Ranges
    capacity: int
    """Bytes of values that the file can hold."""
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    loads: dict[str, Load] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    _named: int = 0

    def add(self, tensor: TensorInfo, load: Load) -> None:
        """Add a tensor. Raises ModelError for a duplicate or invalid name, an invalid shape, and above a
        limit."""
        place = (tensor.start, tensor.end) if tensor.end and not tensor.file else None
        if not 0 < len(tensor.name) <= MAX_NAME:
            raise self.refuse(f"a tensor's name has {len(tensor.name):,} characters, not 1 to {MAX_NAME:,}", place)
        if not tensor.name.isprintable():  # it will be printed, in an error if nowhere else
            raise self.refuse(f"the tensor {tensor.name!r} has a name that cannot be printed", place)
        if tensor.name in self.tensors:
            raise self.refuse(f"two tensors are called {tensor.name!r}", place)
        if len(self.tensors) == MAX_TENSORS:
            raise self.refuse(f"it has more than {MAX_TENSORS:,} tensors")
        if len(tensor.shape) > MAX_RANK or any(dim < 0 for dim in tensor.shape):
            raise self.refuse(f"the tensor {tensor.name!r} has an invalid shape", place)
        # A tensor without elements may claim anything for its other axes, and numpy multiplies those.
        if prod(max(dim, 1) for dim in tensor.shape) * width(tensor.dtype) > max(self.capacity, _SLACK):
            what = f"the tensor {tensor.name!r} claims {show_shape(tensor.shape)}, more than the file can hold"
            raise self.refuse(what, place)
        self._named += tensor.nbytes
        if self._named > _REUSE * self.capacity + _SLACK:
            raise self.refuse("its tensors share the same bytes too often", place)
        self.tensors[tensor.name] = tensor
        self.loads[tensor.name] = load

    def refuse(self, what: str, place: Place | None = None) -> Failure:
        return self.ranges.refuse(what, place)


class Checkpoint:
    """A weight file whose list of tensors has been read and checked; the values are read when asked for."""

    def __init__(self, format: str, contents: Contents) -> None:
        self.path: Path = contents.ranges.path
        self.format = format
        """caffemodel, onnx, safetensors, torch or npz."""
        self.tensors = contents.tensors
        """Tensors by name, in the file's order."""
        self.layers = contents.layers
        """Layer name -> its type, for layers with tensors; empty unless the file is a caffemodel."""
        self._ranges = contents.ranges
        self._loads = contents.loads

    def array(self, name: str) -> Values:
        """Return the values of a tensor: a new C-contiguous array of its type and shape; bfloat16 as float32, exactly.

        May be called from several threads at once. Raises Failure: exit 4 if the values are damaged, exit 5 if the file
        can no longer be read.
        """
        return self._loads[name]()

    def checksum(self) -> str:
        """Read the whole file and return its SHA-256."""
        return self._ranges.sha256()
