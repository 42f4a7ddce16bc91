"""The validated stage table: what a spec says once every file it draws on is merged."""

from __future__ import annotations

from dataclasses import field, replace

from resnetgen.errors import Source, Span
from resnetgen.frozen import Frozen
from resnetgen.preprocess import Preprocess
from resnetgen.spec.syntax import Cell, Expression, Kernel, Size
from resnetgen.spec.yaml import Scalar

Cells = tuple[Cell, ...]


class Row(Frozen):
    """A row in its normal form, in which a spec that extends another patches single fields.

    `block` is the cell that is repeated, with its repeat and stride; `pre` and `post` stand around it. A row without
    such a cell has all its cells in `pre`.
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


class Branches(Frozen):
    """Cells that start from one input, in the order in which they are written and merged, and what follows."""

    branches: dict[str, Cells]
    merge: str
    after: Cells


class Case(Frozen):
    condition: Expression | None
    cells: Cells


class Block(Frozen):
    """A block as data: parameters (None where the caller must say), names for expressions, and one of three bodies."""

    name: str
    span: Span
    doc: str
    params: dict[str, Expression | None]
    let: dict[str, Expression]
    body: Cells | Branches | tuple[Case, ...]

    @property
    def is_choice(self) -> bool:
        return isinstance(self.body, tuple) and bool(self.body) and isinstance(self.body[0], Case)


class BracketDefaults(Frozen):
    """What `[...]` means."""

    stride_on: str | Kernel
    branches: tuple[str, ...]
    shortcut: Cells
    merge: str
    after: Cells
    last: tuple[str, ...]


class OpDefaults(Frozen):
    """Attributes that an op has where a call says nothing else: name and value, each with its place."""

    span: Span
    attributes: tuple[tuple[Scalar, Scalar], ...]


class Defaults(Frozen):
    """What the short forms of a spec mean."""

    unit: tuple[str, ...]
    norm: Cells
    act: Cells
    ops: dict[str, OpDefaults]
    bracket: BracketDefaults


class Spec(Frozen):
    """A spec, whole: its own file, what it extends, and the library files that it uses."""

    name: str
    """The path below `specs/`, or the file's stem: names the output."""
    title: str
    """The network's name, which models carry."""
    span: Span
    input: Size
    preprocess: Preprocess | None
    params: dict[str, int | float]
    names: Scalar | None
    defaults: Defaults
    blocks: dict[str, Block]
    rows: tuple[Row, ...]
    sources: tuple[Source, ...] = field(repr=False)
    """Every file read, in the order of merging; their digest says what was compiled."""

    def at(self, size: Size) -> Spec:
        """The same network for an input of another size, against which the size columns are not held."""
        channels, height, width = size.extents
        kept = self.preprocess if channels == self.input.extents[0] else None
        preprocess = kept.at((height, width)) if kept else None
        rows = tuple(replace(row, size=None) for row in self.rows)
        return replace(self, input=size, preprocess=preprocess, rows=rows)

    @property
    def stem(self) -> str:
        return self.name.rpartition("/")[2]
