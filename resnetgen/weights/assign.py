"""The tensors of a checkpoint as the parameters of a graph: one to one, or one error that lists what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from resnetgen.errors import Code, Exit, Failure, Problem
from resnetgen.frozen import Frozen
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Shape, show
from resnetgen.weights.checkpoint import Checkpoint
from resnetgen.weights.checkpoint.dtypes import BFLOAT16, Values
from resnetgen.weights.draw import keys
from resnetgen.weights.source import Array, Key, Weights

_LISTED = 8
"""How many tensors of each kind an error names."""
_COUNTERS = ".num_batches_tracked"
"""How many batches a norm has counted: torch keeps it among the weights, and inference does not use it."""


class Naming(Frozen):
    """What a world calls the parameters of a graph."""

    world: str | None
    """The name of the map; None: the paths of resnetgen itself."""
    names: dict[str, Key]
    fixed: frozenset[str] = frozenset()
    """Tensors of the world that are no parameters: a file may have them or not."""

    @property
    def shown(self) -> str:
        return f"{self.world}'s names" if self.world else "the paths of nodes"

    def fit(self, found: Iterable[str]) -> int:
        return sum(name in self.names for name in found)


def closest(namings: Sequence[Naming], checkpoint: Checkpoint) -> Naming:
    """The naming under which most of a file's tensors are known; of equal ones the first."""
    return max(namings, key=lambda naming: naming.fit(checkpoint.entries))


class Assigned(Frozen):
    """Weights of a graph: each from the checkpoint, or, where it is to be drawn anew, from other weights."""

    checkpoint: Checkpoint
    sources: dict[Key, str]
    shapes: dict[Key, Shape]
    fresh: Weights
    allow_nonfinite: bool

    def tensor(self, node: str, parameter: str) -> Array:
        """Raises Failure (exit 4) for a value that is not finite, and where the file is damaged."""
        stored = self.stored(node, parameter)
        if stored.dtype == np.float32:
            return stored
        with np.errstate(over="ignore"):  # what a float32 cannot hold is infinite then
            return self._finite((node, parameter), stored.astype(np.float32))

    def stored(self, node: str, parameter: str) -> Values:
        """The same in the type that the file has; bfloat16 as float32."""
        key = (node, parameter)
        if key not in self.sources:
            return self.fresh.tensor(node, parameter)
        return self._finite(key, self.checkpoint.array(self.sources[key]).reshape(self.shapes[key]))

    def _finite(self, key: Key, values: Values) -> Values:
        if not self.allow_nonfinite and not np.isfinite(values).all():
            raise self._not_finite(self.sources[key], values)
        return values

    def dtype(self, node: str, parameter: str) -> str:
        """Of what `stored` gives."""
        source = self.sources.get((node, parameter))
        held = self.checkpoint.entries[source].dtype if source else "float32"
        return "float32" if held == BFLOAT16 else held

    def _not_finite(self, source: str, values: Values) -> Failure:
        entry = self.checkpoint.entries[source]
        index = int(np.flatnonzero(~np.isfinite(values.ravel()))[0])
        place = f", bytes {entry.start:,} to {entry.end:,}" if entry.end else ""
        what = f"the tensor {source!r}{place} is not finite: element {index:,} is {values.ravel()[index]}"
        message = f"{self.checkpoint.path}: {what}"
        hint = "--allow-nonfinite takes it as it is; a training run that diverged leaves such values"
        return Failure(Exit.MODEL, (Problem(Code.BAD_MODEL, message, None, hint),))


def assign(
    checkpoint: Checkpoint,
    graph: Graph,
    naming: Naming,
    fresh: Weights,
    drawn: Callable[[str], bool] = lambda _: False,
    allow_nonfinite: bool = False,
) -> Assigned:
    """Each parameter with the tensor of its name; those of the nodes that are `drawn` come from `fresh`.

    Raises Failure (exit 4) that lists every tensor that is missing, left over or of another shape, with its place in
    the spec. Shapes agree where they do without axes of one element: worlds differ in these alone.
    """
    shapes = keys(graph)
    wanted = {name: key for name, key in naming.names.items() if not drawn(key[0])}
    missing = [name for name in wanted if name not in checkpoint.entries]
    known = naming.names.keys() | naming.fixed
    left = [name for name in checkpoint.entries if name not in known and not name.endswith(_COUNTERS)]
    entries = {name: checkpoint.entries[name] for name in wanted if name in checkpoint.entries}
    other = [name for name, entry in entries.items() if _bare(entry.shape) != _bare(shapes[wanted[name]])]
    if missing or left or other:
        raise _Mismatch(checkpoint, graph, naming, shapes).failure(missing, left, other)
    return Assigned(checkpoint, {key: name for name, key in wanted.items()}, shapes, fresh, allow_nonfinite)


def _bare(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent != 1)


class _Mismatch(Frozen):
    """The error of a checkpoint that does not fit."""

    checkpoint: Checkpoint
    graph: Graph
    naming: Naming
    shapes: dict[Key, Shape]

    def failure(self, missing: list[str], left: list[str], other: list[str]) -> Failure:
        notes = [
            *_some("missing", [f"{name}, {self.wanted(name)}" for name in missing]),
            *_some("left over", [f"{name}, {self.held(name)}" for name in left]),
            *_some("another shape", [f"{name} is {self.held(name)}, not {self.wanted(name)}" for name in other]),
        ]
        counts = [
            f"{len(names)} {what}"
            for names, what in ((missing, "missing"), (left, "left over"), (other, "of another shape"))
            if names
        ]
        message = f"{self.checkpoint.path} does not fit {self.graph.name} by {self.naming.shown}: {', '.join(counts)}"
        hint = self.hint(missing, left, other)
        return Failure(Exit.MODEL, (Problem(Code.WEIGHTS, message, None, hint, tuple(notes)),))

    def wanted(self, name: str) -> str:
        node, parameter = self.naming.names[name]
        span = self.graph.by_name[node].span
        place = f", {span.short}" if span else ""
        return f"{show(self.shapes[node, parameter])} (the {parameter} of {node}{place})"

    def held(self, name: str) -> str:
        return show(self.checkpoint.entries[name].shape) or "a number"

    def hint(self, missing: list[str], left: list[str], other: list[str]) -> str:
        if not self.naming.fit(self.checkpoint.entries):
            some = ", ".join(list(self.checkpoint.entries)[:3])
            return f"none of its names is known, such as {some}; `resnetgen weights show` lists them all"
        nodes = [self.naming.names[name][0] for name in (*missing, *other)]
        stages = {node.partition("/")[0] for node in nodes}
        if not left and not missing and len(stages) == 1:
            (stage,) = stages
            return f"--reinit {stage} draws them anew; or --set classes=N, if the checkpoint has a head of N classes"
        if not left and not other and all(self.naming.names[name][1] == "bias" for name in missing):
            return "its layers have no bias: take `bias` out of these rows; a norm behind them has one of its own"
        parameters = {self.naming.names[name][1] for name in missing}
        if parameters == {"gamma", "beta", "mean", "variance"} and all(name.endswith("bias") for name in left):
            return "its norms may be folded into its convolutions: build the model with --no-fold to have them back"
        return "is it of another depth or variant? `resnetgen list` shows the bundled specs"


def _some(what: str, lines: list[str]) -> list[str]:
    rest = len(lines) - _LISTED
    return [f"{what}: {line}" for line in lines[:_LISTED]] + ([f"{what}: and {rest:,} more"] if rest > 0 else [])
