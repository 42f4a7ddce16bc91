"""What a checkpoint is: named tensors, whose values are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from resnetgen.errors import Failure
from resnetgen.frozen import Frozen
from resnetgen.weights.checkpoint.dtypes import Values, width
from resnetgen.weights.checkpoint.ranges import Place, Ranges

MAX_TENSORS = 100_000
"""In a file; ResNet-152 has 932, and a network of 20,000 nodes about 60,000."""
MAX_RANK = 16
"""Axes; a convolution's weight has 4, and numpy can do 64."""
MAX_NAME = 1024
"""Characters; the longest that a library writes have about 100."""
_REUSE = 4
"""How often over the tensors may name the bytes of their file: tied weights do, twice. Without it a small file could
name the same bytes a hundred thousand times."""
_SLACK = 1 << 20
"""Bytes that are always allowed to be named again: numbers take less than the file's own frame."""

Load = Callable[[], Values]
"""Reads the values of a tensor, each time anew."""


class Entry(Frozen):
    """A tensor of a file. Its values are bytes `start` to `end` if they stand in one piece in order, else 0 to 0."""

    name: str
    dtype: str
    """float32, float16, bfloat16, float64, int64, ... as it is stored."""
    shape: tuple[int, ...]
    start: int = 0
    end: int = 0
    file: str = ""
    """The name of the file beside this one that the bytes are of, where they are not of this one."""

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Of the values as they are stored, uncompressed."""
        return self.elements * width(self.dtype)


@dataclass
class Contents:
    """The tensors of a file while it is opened: each is held against the limits before it counts."""

    ranges: Ranges
    capacity: int
    """Bytes of values that the file can hold."""
    entries: dict[str, Entry] = field(default_factory=dict)
    loads: dict[str, Load] = field(default_factory=dict)
    layers: dict[str, str] = field(default_factory=dict)
    _named: int = 0

    def add(self, entry: Entry, load: Load) -> None:
        """Raises Failure (exit 4) for a name that is there already, and for more than the limits allow."""
        place = (entry.start, entry.end) if entry.end and not entry.file else None
        if not 0 < len(entry.name) <= MAX_NAME:
            raise self.refuse(f"a tensor's name has {len(entry.name):,} characters, not 1 to {MAX_NAME:,}", place)
        if not entry.name.isprintable():  # it will be shown, in an error if nowhere else
            raise self.refuse(f"the tensor {entry.name!r} has a name that cannot be printed", place)
        if entry.name in self.entries:
            raise self.refuse(f"two tensors are called {entry.name!r}", place)
        if len(self.entries) == MAX_TENSORS:
            raise self.refuse(f"it has more than {MAX_TENSORS:,} tensors")
        if len(entry.shape) > MAX_RANK or any(dim < 0 for dim in entry.shape):
            raise self.refuse(f"the tensor {entry.name!r} has no sensible shape", place)
        # What holds no value may say anything of its other axes, and numpy multiplies those.
        if prod(max(dim, 1) for dim in entry.shape) * width(entry.dtype) > max(self.capacity, _SLACK):
            what = f"the tensor {entry.name!r} claims {shown(entry.shape)}, more than the file can hold"
            raise self.refuse(what, place)
        self._named += entry.nbytes
        if self._named > _REUSE * self.capacity + _SLACK:
            raise self.refuse("its tensors name the same bytes over and over", place)
        self.entries[entry.name] = entry
        self.loads[entry.name] = load

    def refuse(self, what: str, place: Place | None = None) -> Failure:
        return self.ranges.refuse(what, place)


class Checkpoint:
    """A weight file whose list of tensors has been read and checked; their values have not."""

    def __init__(self, format: str, contents: Contents) -> None:
        self.path: Path = contents.ranges.path
        self.format = format
        """caffemodel, onnx, safetensors, torch or npz."""
        self.entries = contents.entries
        """By name, in the file's order."""
        self.layers = contents.layers
        """The type of each layer that has tensors, where a format has layers: a caffemodel alone."""
        self._ranges = contents.ranges
        self._loads = contents.loads

    def array(self, name: str) -> Values:
        """The values of a tensor: a new C-contiguous array of its type and shape; bfloat16 as float32, exactly.

        May be called from several threads at once. Raises Failure: exit 4 where the values are damaged, and exit 5
        where the file cannot be read any more.
        """
        return self._loads[name]()

    def checksum(self) -> str:
        """The SHA-256 of the file, which is read for it."""
        return self._ranges.sha256()


def shown(shape: tuple[int, ...]) -> str:
    """A shape for an error; one of no sensible length is cut."""
    dims = [str(dim) if abs(dim) < 10**20 else "..." for dim in shape[: MAX_RANK + 1]]
    return "x".join(dims) or "a single value"
