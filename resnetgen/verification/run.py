"""Run of all backends on the same images, and comparison of each with the first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import lcm
from pathlib import Path

import numpy as np
from msgspec import Struct, field

from resnetgen.errors import Code, Exit, did_you_mean, fail
from resnetgen.preprocess import Preprocess
from resnetgen.verification import arrays
from resnetgen.verification.comparison import Agreement, Distance, Pair, Tensors, is_scores, pair_inner, pair_outputs
from resnetgen.verification.inputs import Format, Inputs, Part, adapted, make
from resnetgen.verification.report import Comparison, Layer, Report
from resnetgen.verification.settings import Settings
from resnetgen.verification.sides import SAVED_INPUT, SavedSide, Side
from resnetgen.verification.values import Values, join, join_output
from resnetgen.weights.source import Array

Progress = Callable[[int, int], None]
"""Function that is called with the number of runs done, and the number of all runs."""


def verify_sides(
    subject: str,
    sides: Sequence[Side],
    settings: Settings,
    progress: Progress = lambda done, total: None,
    save: tuple[Side, Path] | None = None,
    preprocess: Preprocess | None = None,
) -> Report:
    """Compare every other backend with the first. `save`: backend whose outputs are to be written, and the file.

    `preprocess`: preprocessing of pictures, also for a comparison of a model that embeds it with one that does not.
    Raises Failure if the backends cannot be compared, or one did not run on the requested provider.
    """
    wanted = _format(sides, preprocess)
    batches = settings.batches or (lcm(*(side.batch or 1 for side in sides)),)
    inputs = make(wanted, batches, settings, preprocess)
    _check(sides, batches, inputs)
    held, *others = sides
    found = {(side.name, batch): _Comparing(side, held) for batch in batches for side in others}
    outputs: dict[str, list[Array]] = defaultdict(list)
    sizes: list[int] = []
    steps = [(batch, part) for batch in batches for part in inputs.parts(batch)]
    for number, (batch, part) in enumerate(steps):
        # Compare inner tensors on the first images of each batch size only; the outputs show differences in the others.
        inner = part.first == 0
        values = {}
        for at, side in enumerate(sides):
            values[side.name] = _run(side, adapted(part, wanted, side.format, preprocess), inner)
            progress(number * len(sides) + at + 1, len(steps) * len(sides))
        for side in others:
            found[side.name, batch].add(values[side.name], values[held.name])
        if save and batch == batches[0]:
            for name, array in values[save[0].name].outputs.items():
                outputs[name].append(array)
            sizes.append(len(part.data))
    comparisons = tuple(one.done(batch, len(inputs.data), settings) for (_, batch), one in found.items())
    _check_tolerances(settings, comparisons)
    if save:
        whole = {name: join_output(save[0].name, name, parts, sizes) for name, parts in outputs.items()}
        arrays.save(save[1], whole | {SAVED_INPUT: np.frombuffer(bytes.fromhex(inputs.digest), np.uint8)})
    tolerance = settings.tolerance or max(side.tolerance for side in sides)
    return Report(subject, inputs.origin, tuple(side.facts() for side in sides), comparisons, tolerance)


def _format(sides: Sequence[Side], preprocess: Preprocess | None) -> Format:
    """Return the input format of all backends, or the bytes from which the spec's preprocessing makes it. Raises
    Failure if there is none."""
    found = [(side, side.format) for side in sides if side.format]
    if not found:
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, "all sides are saved outputs", hint="name one that runs")
    first, wanted = next((one for one in found if one[1].is_bytes), found[0])
    made = wanted
    if preprocess and wanted.shape == (*preprocess.crop, preprocess.color.channels):
        made = Format((preprocess.color.channels, *preprocess.crop), np.dtype(np.float32))
    for side, other in found:
        if other.whole not in (wanted.whole, made if wanted.is_bytes else wanted.whole):
            message = f"{first.name} takes images of {wanted}, {side.name} of {other}"
            raise fail(Exit.VERIFICATION, Code.VERIFICATION, message)
    return wanted


def _check(sides: Sequence[Side], batches: tuple[int, ...], inputs: Inputs) -> None:
    """Raise Failure for a batch size that a backend does not allow, and for saved outputs of other images."""
    if len({side.name for side in sides}) < len(sides) or len(sides) < 2:
        names = ", ".join(side.name for side in sides)
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, f"it takes two sides that differ, not {names}")
    for side in sides:
        for size in sorted({len(part.data) for batch in batches for part in inputs.parts(batch)}):
            if size % (side.batch or 1):
                message = f"{side.name} is fixed to a batch of {side.batch}; {size} images are no multiple of it"
                raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint=f"--batch {side.batch}")
        if isinstance(side, SavedSide) and side.input not in ("", inputs.digest):
            message = f"{side.name} holds the outputs of other images"
            hint = "give the --data, or the --input-seed and --seeds, with which it was saved"
            raise fail(Exit.VERIFICATION, Code.VERIFICATION, message, hint=hint)


def _run(side: Side, part: Part, inner: bool) -> Values:
    """Run a backend, in pieces if its batch is fixed."""
    pieces = list(part.pieces(side.batch or len(part.data)))
    found = [side.run(piece, inner) for piece in pieces]
    return found[0] if len(found) == 1 else join(side.name, found, [len(piece.data) for piece in pieces])


class _Comparing(Struct):
    """Comparison of one backend with another, at one batch size, while it is accumulated."""

    side: Side
    held: Side
    inner: dict[Pair, Distance] = field(default_factory=dict)
    outputs: dict[Pair, Distance] = field(default_factory=dict)
    agreement: Agreement | None = None

    def add(self, found: Values, wanted: Values) -> None:
        names = (self.side.name, self.held.name)
        pairs = pair_outputs(found.outputs, wanted.outputs)
        if not pairs:
            message = f"{names[0]} gives {', '.join(found.outputs)}; {names[1]} gives {', '.join(wanted.outputs)}"
            raise fail(Exit.VERIFICATION, Code.VERIFICATION, f"no output of the two corresponds: {message}")
        for pair in pairs:
            a, b = found.outputs[pair.found], wanted.outputs[pair.wanted]
            self.outputs.setdefault(pair, Distance()).add(a, b, names)
            if is_scores(a) and pair == pairs[-1]:
                self.agreement = self.agreement or Agreement()
                self.agreement.add(a, b)
        for pair in pair_inner(_tensors(self.side, found), _tensors(self.held, wanted)):
            a, b = found.inner[pair.found], wanted.inner[pair.wanted]
            self.inner.setdefault(pair, Distance()).add(a, b, names)

    def done(self, batch: int, images: int, settings: Settings) -> Comparison:
        layers = [self._layer(pair, one, False, settings) for pair, one in self.inner.items()]
        layers += [self._layer(pair, one, True, settings) for pair, one in self.outputs.items()]
        return Comparison(self.side.facts(), self.held.facts(), batch, images, tuple(layers), self.agreement)

    def _layer(self, pair: Pair, distance: Distance, is_output: bool, settings: Settings) -> Layer:
        places = [self.side.places.get(pair.found), self.held.places.get(pair.wanted)]
        place = next((one for one in places if one), "")
        usual = settings.tolerance or max(self.side.tolerance, self.held.tolerance)
        tolerance = settings.tolerances.get(pair.found, usual)
        faults = tuple(dict.fromkeys(distance.faults))
        return Layer(pair.found, place, is_output, distance.error, distance.mean, distance.cosine, tolerance, faults)


def _tensors(side: Side, values: Values) -> Tensors:
    return Tensors(tuple(values.inner), side.folds, side.norms)


def _check_tolerances(settings: Settings, comparisons: Sequence[Comparison]) -> None:
    """Raise Failure (exit 2) for a tolerance of an unknown tensor: the default would apply silently."""
    known = {layer.name for one in comparisons for layer in one.layers}
    for name in settings.tolerances:
        if name not in known:
            message = f"--tolerance {name}: no tensor that was compared is called so"
            raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint=did_you_mean(name, known))
