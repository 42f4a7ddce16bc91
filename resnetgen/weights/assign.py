"""Assignment of a checkpoint's tensors to the parameters of a graph: one to one, or one error that lists every
mismatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from msgspec import Struct

from resnetgen.errors import Code, Failure, ModelError, Problem
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Shape, show
from resnetgen.weights.checkpoint import Checkpoint
from resnetgen.weights.draw import keys
from resnetgen.weights.source import Array, Key, WeightSource
from resnetgen.wire.dtypes import BFLOAT16, Values

_LISTED = 8
"""Number of tensors of each kind that an error lists."""
_COUNTERS = ".num_batches_tracked"
"""Suffix of the batch counters that torch stores with the weights of a norm; inference does not use them."""


class Naming(Struct, frozen=True):
    """Names of a graph's parameters by one convention: those of a library, or the paths of nodes."""

    convention: str | None
    """Name of the name map; None for the paths of nodes."""
    names: dict[str, Key]
    fixed: frozenset[str] = frozenset()
    """Tensors of the convention that are not parameters: a file may contain them or not."""

    @property
    def shown(self) -> str:
        return f"{self.convention}'s names" if self.convention else "the paths of nodes"

    def matches(self, names: Iterable[str]) -> int:
        """Return how many of these tensors are parameters by this convention."""
        return sum(name in self.names for name in names)


def closest(namings: Sequence[Naming], checkpoint: Checkpoint) -> Naming:
    """Return the naming that matches most tensors of a file; in a tie, the first."""
    return max(namings, key=lambda naming: naming.matches(checkpoint.tensors))


class AssignedWeights(Struct, frozen=True):
    """Weights of a graph: each from the checkpoint, or from `fresh` if it is to be drawn anew."""

    checkpoint: Checkpoint
    sources: dict[Key, str]
    shapes: dict[Key, Shape]
    fresh: WeightSource
    allow_nonfinite: bool

    def tensor(self, node: str, parameter: str) -> Array:
        """Return a parameter as float32. Raises ModelError if a value is not finite or the file is damaged."""
        stored = self.stored(node, parameter)
        if stored.dtype == np.float32:
            return stored
        with np.errstate(over="ignore"):  # values too large for float32 become infinite
            return self._finite((node, parameter), stored.astype(np.float32))

    def stored(self, node: str, parameter: str) -> Values:
        """Return a parameter in the type of the file; bfloat16 as float32."""
        key = (node, parameter)
        if key not in self.sources:
            return self.fresh.tensor(node, parameter)
        return self._finite(key, self.checkpoint.array(self.sources[key]).reshape(self.shapes[key]))

    def _finite(self, key: Key, values: Values) -> Values:
        if not self.allow_nonfinite and not np.isfinite(values).all():
            raise self._not_finite(self.sources[key], values)
        return values

    def dtype(self, node: str, parameter: str) -> str:
        """Return the type of the values that `stored` returns."""
        source = self.sources.get((node, parameter))
        dtype = self.checkpoint.tensors[source].dtype if source else "float32"
        return "float32" if dtype == BFLOAT16 else dtype

    def _not_finite(self, source: str, values: Values) -> Failure:
        tensor = self.checkpoint.tensors[source]
        index = int(np.flatnonzero(~np.isfinite(values.ravel()))[0])
        place = f", bytes {tensor.start:,} to {tensor.end:,}" if tensor.end else ""
        reason = f"the tensor {source!r}{place} is not finite: element {index:,} is {values.ravel()[index]}"
        message = f"{self.checkpoint.path}: {reason}"
        hint = "a training run that diverged leaves such values; --allow-nonfinite accepts them"
        return ModelError((Problem(Code.BAD_MODEL, message, None, hint),))


def assign(
    checkpoint: Checkpoint,
    graph: Graph,
    naming: Naming,
    fresh: WeightSource,
    drawn: Callable[[str], bool] = lambda _: False,
    allow_nonfinite: bool = False,
) -> AssignedWeights:
    """Assign to each parameter the tensor of its name; nodes for which `drawn` is true get theirs from `fresh`.

    Raises ModelError that lists every tensor that is missing, unexpected or of another shape, with its place in
    the spec. Shapes are compared without axes of one element, since libraries differ in these.
    """
    shapes = keys(graph)
    expected = {name: key for name, key in naming.names.items() if not drawn(key[0])}
    missing = [name for name in expected if name not in checkpoint.tensors]
    known = naming.names.keys() | naming.fixed
    unexpected = [name for name in checkpoint.tensors if name not in known and not name.endswith(_COUNTERS)]
    present = {name: checkpoint.tensors[name] for name in expected if name in checkpoint.tensors}
    mismatched = [
        name for name, tensor in present.items() if _squeezed(tensor.shape) != _squeezed(shapes[expected[name]])
    ]
    if missing or unexpected or mismatched:
        raise _Mismatch(checkpoint, graph, naming, shapes).failure(missing, unexpected, mismatched)
    return AssignedWeights(checkpoint, {key: name for name, key in expected.items()}, shapes, fresh, allow_nonfinite)


def _squeezed(shape: Shape) -> Shape:
    return tuple(extent for extent in shape if extent != 1)


class _Mismatch(Struct, frozen=True):
    """Error for a checkpoint that does not fit a graph."""

    checkpoint: Checkpoint
    graph: Graph
    naming: Naming
    shapes: dict[Key, Shape]

    def failure(self, missing: list[str], unexpected: list[str], mismatched: list[str]) -> Failure:
        notes = [
            *_some("missing", [f"{name}, {self.expected(name)}" for name in missing]),
            *_some("unexpected", [f"{name}, {self.shape(name)}" for name in unexpected]),
            *_some(
                "another shape", [f"{name} is {self.shape(name)}, not {self.expected(name)}" for name in mismatched]
            ),
        ]
        counts = [
            f"{len(names)} {kind}"
            for names, kind in ((missing, "missing"), (unexpected, "unexpected"), (mismatched, "of another shape"))
            if names
        ]
        message = f"{self.checkpoint.path} does not fit {self.graph.name} by {self.naming.shown}: {', '.join(counts)}"
        hint = self.hint(missing, unexpected, mismatched)
        return ModelError((Problem(Code.WEIGHTS, message, None, hint, tuple(notes)),))

    def expected(self, name: str) -> str:
        node, parameter = self.naming.names[name]
        span = self.graph[node].span
        place = f", {span.short}" if span else ""
        return f"{show(self.shapes[node, parameter])} (the {parameter} of {node}{place})"

    def shape(self, name: str) -> str:
        return show(self.checkpoint.tensors[name].shape) or "a number"

    def hint(self, missing: list[str], unexpected: list[str], mismatched: list[str]) -> str:
        if not self.naming.matches(self.checkpoint.tensors):
            some = ", ".join(list(self.checkpoint.tensors)[:3])
            return f"none of its names is known, such as {some}; `resnetgen weights show` lists them all"
        nodes = [self.naming.names[name][0] for name in (*missing, *mismatched)]
        stages = {self.graph[node].path.stage for node in nodes}
        if not unexpected and not missing and len(stages) == 1:
            (stage,) = stages
            return f"--reinit {stage} draws them anew; or --set classes=N, if the checkpoint has a head of N classes"
        if not unexpected and not mismatched and all(self.naming.names[name][1] == "bias" for name in missing):
            return "its layers have no bias: remove `bias` from these rows; a norm behind a layer adds its own"
        parameters = {self.naming.names[name][1] for name in missing}
        if parameters == {"gamma", "beta", "mean", "variance"} and all(name.endswith("bias") for name in unexpected):
            return "its norms may be folded into its convolutions: export the model with its norms, here with --no-fold"
        return "is it of another depth or variant? `resnetgen list` shows the bundled specs"


def _some(kind: str, lines: list[str]) -> list[str]:
    rest = len(lines) - _LISTED
    return [f"{kind}: {line}" for line in lines[:_LISTED]] + ([f"{kind}: and {rest:,} more"] if rest > 0 else [])
