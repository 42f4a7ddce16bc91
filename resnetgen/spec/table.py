"""The validated stage table: a spec with all its files merged."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from resnetgen.errors import Source, Span
from resnetgen.escape import escape, plural
from resnetgen.preprocess import Preprocess
from resnetgen.spec.syntax import Cell, Expression, Kernel, Size
from resnetgen.spec.yaml import Scalar

Cells = tuple[Cell, ...]


class Row(Struct, frozen=True):
    """A row in normal form; a spec that extends another can patch its fields.

    `block` is the cell that is repeated, with its repeat and stride; `pre` and `post` are the cells before and after
    it. A row without such a cell has all its cells in `pre`.
    """

    stage: str
    span: Span
    size: Size | None
    pre: Cells
    block: Cell | None
    post: Cells

    @property
    def cells(self) -> Cells:
        return (*self.pre, *((self.block,) if self.block else ()), *self.post)


class Branches(Struct, frozen=True):
    """Branches from one input, in the order in which they are written and merged, and the cells after the merge."""

    branches: dict[str, Cells]
    merge: str
    after: Cells


class Case(Struct, frozen=True):
    condition: Expression | None
    cells: Cells


class Block(Struct, frozen=True):
    """A block as data: parameters (None if the caller must set it), names for expressions, and one of three bodies."""

    name: str
    span: Span
    doc: str
    params: dict[str, Expression | None]
    let: dict[str, Expression]
    body: Cells | Branches | tuple[Case, ...]

    @property
    def is_choice(self) -> bool:
        return isinstance(self.body, tuple) and bool(self.body) and isinstance(self.body[0], Case)


class BracketDefaults(Struct, frozen=True):
    """Defaults of `[...]`."""

    stride_on: str | Kernel
    branches: tuple[str, ...]
    shortcut: Cells
    merge: str
    after: Cells
    last: tuple[str, ...]


class OpDefaults(Struct, frozen=True):
    """Default attributes of an op: name and value, each with its place."""

    span: Span
    attributes: tuple[tuple[Scalar, Scalar], ...]


class Defaults(Struct, frozen=True):
    """Defaults of a spec's short forms."""

    unit: tuple[str, ...]
    norm: Cells
    act: Cells
    ops: dict[str, OpDefaults]
    bracket: BracketDefaults


class Spec(Struct, frozen=True):
    """A complete spec: its own file, the specs that it extends, and the library files that it uses."""

    name: str
    """Path below `specs/`, or the file's stem; the name of the output folder."""
    title: str
    """Name of the network in models."""
    span: Span
    input: Size
    preprocess: Preprocess | None
    params: dict[str, int | float]
    names: Scalar | None
    defaults: Defaults
    blocks: dict[str, Block]
    rows: tuple[Row, ...]
    sources: tuple[Source, ...]
    """Every file read, in the order of merging; the digest of a build covers them."""

    def __repr__(self) -> str:
        params = "".join(f", {name}={value}" for name, value in self.params.items())
        return escape(f"<Spec {self.name}: input {self.input}{params}, {plural(len(self.rows), 'stage')}>")

    def at(self, size: Size) -> Spec:
        """Return the same network for an input of another size, without its size columns."""
        channels, height, width = size.extents
        kept = self.preprocess if channels == self.input.extents[0] else None
        preprocess = kept.at((height, width)) if kept else None
        rows = tuple(replace(row, size=None) for row in self.rows)
        return replace(self, input=size, preprocess=preprocess, rows=rows)

    @property
    def stem(self) -> str:
        return self.name.rpartition("/")[2]
