"""Run of all backends on the same images, and comparison of each with the first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from math import lcm
from pathlib import Path

import numpy as np
from msgspec import Struct, field

from resnetgen.errors import Code, UsageError, VerificationError, did_you_mean
from resnetgen.preprocess import Preprocess
from resnetgen.verification import npy
from resnetgen.verification.backends import SAVED_INPUT, Backend, SavedOutputs
from resnetgen.verification.comparison import (
    Agreement,
    Distance,
    TensorPair,
    Tensors,
    is_scores,
    pair_inner,
    pair_outputs,
)
from resnetgen.verification.input_images import InputFormat, Inputs, Part, adapted, make_inputs
from resnetgen.verification.outputs import Values, join, join_output
from resnetgen.verification.report import Comparison, Report, TensorDistance
from resnetgen.verification.settings import Settings
from resnetgen.weights.source import Array

Progress = Callable[[int, int], None]
"""Function that is called with the number of runs done, and the number of all runs."""


def compare_backends(
    subject: str,
    backends: Sequence[Backend],
    settings: Settings,
    progress: Progress = lambda done, total: None,
    save: tuple[Backend, Path] | None = None,
    preprocess: Preprocess | None = None,
) -> Report:
    """Compare every other backend with the first. `save`: backend whose outputs are to be written, and the file.

    `preprocess`: preprocessing of pictures, also for a comparison of a model that embeds it with one that does not.
    Raises Failure if the backends cannot be compared, or one did not run on the requested provider.
    """
    format = _format(backends, preprocess)
    batches = settings.batches or (lcm(*(backend.batch or 1 for backend in backends)),)
    inputs = make_inputs(format, batches, settings, preprocess)
    _check(backends, batches, inputs)
    baseline, *others = backends
    running = {(backend.name, batch): _Comparing(backend, baseline) for batch in batches for backend in others}
    outputs: dict[str, list[Array]] = defaultdict(list)
    sizes: list[int] = []
    steps = [(batch, part) for batch in batches for part in inputs.parts(batch)]
    for number, (batch, part) in enumerate(steps):
        # Compare inner tensors on the first images of each batch size only; the outputs show differences in the others.
        inner = part.first == 0
        values = {}
        for at, backend in enumerate(backends):
            values[backend.name] = _run(backend, adapted(part, format, backend.format, preprocess), inner)
            progress(number * len(backends) + at + 1, len(steps) * len(backends))
        for backend in others:
            running[backend.name, batch].add(values[backend.name], values[baseline.name])
        if save and batch == batches[0]:
            for name, array in values[save[0].name].outputs.items():
                outputs[name].append(array)
            sizes.append(len(part.data))
    comparisons = tuple(one.done(batch, len(inputs.data), settings) for (_, batch), one in running.items())
    _check_tolerances(settings, comparisons)
    if save:
        whole = {name: join_output(save[0].name, name, parts, sizes) for name, parts in outputs.items()}
        npy.save(save[1], whole | {SAVED_INPUT: np.frombuffer(bytes.fromhex(inputs.digest), np.uint8)})
    tolerance = settings.tolerance or max(backend.tolerance for backend in backends)
    return Report(subject, inputs.origin, tuple(backend.info() for backend in backends), comparisons, tolerance)


def _format(backends: Sequence[Backend], preprocess: Preprocess | None) -> InputFormat:
    """Return the input format of all backends, or the bytes from which the spec's preprocessing makes it. Raises
    Failure if there is none."""
    formats = [(backend, backend.format) for backend in backends if backend.format]
    if not formats:
        raise UsageError.of(Code.BAD_ARGUMENT, "all backends are saved outputs", hint="name one that runs")
    first, format = next((one for one in formats if one[1].is_bytes), formats[0])
    preprocessed = format
    if preprocess and format.shape == (*preprocess.crop, preprocess.color.channels):
        preprocessed = InputFormat((preprocess.color.channels, *preprocess.crop), np.dtype(np.float32))
    for backend, other in formats:
        if other.whole not in (format.whole, preprocessed if format.is_bytes else format.whole):
            message = f"{first.name} takes images of {format}, {backend.name} of {other}"
            raise VerificationError.of(Code.VERIFICATION, message)
    return format


def _check(backends: Sequence[Backend], batches: tuple[int, ...], inputs: Inputs) -> None:
    """Raise Failure for a batch size that a backend does not allow, and for saved outputs of other images."""
    if len({backend.name for backend in backends}) < len(backends) or len(backends) < 2:
        names = ", ".join(backend.name for backend in backends)
        raise UsageError.of(Code.BAD_ARGUMENT, f"it takes two backends that differ, not {names}")
    for backend in backends:
        for size in sorted({len(part.data) for batch in batches for part in inputs.parts(batch)}):
            if size % (backend.batch or 1):
                fixed = f"{backend.name} is fixed to a batch of {backend.batch}"
                message = f"{fixed}; the number of images, {size}, is no multiple of it"
                raise UsageError.of(Code.BAD_ARGUMENT, message, hint=f"--batch {backend.batch}")
        if isinstance(backend, SavedOutputs) and backend.input not in ("", inputs.digest):
            message = f"{backend.name} has the outputs of other images"
            hint = "give the --data, or the --input-seed and --seeds, with which it was saved"
            raise VerificationError.of(Code.VERIFICATION, message, hint=hint)


def _run(backend: Backend, part: Part, inner: bool) -> Values:
    """Run a backend, in pieces if its batch is fixed."""
    pieces = list(part.pieces(backend.batch or len(part.data)))
    values = [backend.run(piece, inner) for piece in pieces]
    return values[0] if len(values) == 1 else join(backend.name, values, [len(piece.data) for piece in pieces])


class _Comparing(Struct):
    """Comparison of one backend with another, at one batch size, while it is accumulated."""

    backend: Backend
    baseline: Backend
    inner: dict[TensorPair, Distance] = field(default_factory=dict)
    outputs: dict[TensorPair, Distance] = field(default_factory=dict)
    agreement: Agreement | None = None

    def add(self, actual: Values, expected: Values) -> None:
        names = (self.backend.name, self.baseline.name)
        pairs = pair_outputs(actual.outputs, expected.outputs)
        if not pairs:
            message = f"{names[0]} gives {', '.join(actual.outputs)}; {names[1]} gives {', '.join(expected.outputs)}"
            raise VerificationError.of(Code.VERIFICATION, f"no output of the two corresponds: {message}")
        for pair in pairs:
            a, b = actual.outputs[pair.actual], expected.outputs[pair.expected]
            self.outputs.setdefault(pair, Distance()).add(a, b, names)
            if is_scores(a) and pair == pairs[-1]:
                self.agreement = self.agreement or Agreement()
                self.agreement.add(a, b)
        for pair in pair_inner(_tensors(self.backend, actual), _tensors(self.baseline, expected)):
            a, b = actual.inner[pair.actual], expected.inner[pair.expected]
            self.inner.setdefault(pair, Distance()).add(a, b, names)

    def done(self, batch: int, images: int, settings: Settings) -> Comparison:
        layers = [self._layer(pair, one, False, settings) for pair, one in self.inner.items()]
        layers += [self._layer(pair, one, True, settings) for pair, one in self.outputs.items()]
        return Comparison(self.backend.info(), self.baseline.info(), batch, images, tuple(layers), self.agreement)

    def _layer(self, pair: TensorPair, distance: Distance, is_output: bool, settings: Settings) -> TensorDistance:
        places = [self.backend.places.get(pair.actual), self.baseline.places.get(pair.expected)]
        place = next((one for one in places if one), "")
        usual = settings.tolerance or max(self.backend.tolerance, self.baseline.tolerance)
        tolerance = settings.tolerances.get(pair.actual, usual)
        faults = tuple(dict.fromkeys(distance.faults))
        return TensorDistance(
            pair.actual, place, is_output, distance.error, distance.mean, distance.cosine, tolerance, faults
        )


def _tensors(backend: Backend, values: Values) -> Tensors:
    return Tensors(tuple(values.inner), backend.folds, backend.norms)


def _check_tolerances(settings: Settings, comparisons: Sequence[Comparison]) -> None:
    """Raise UsageError for a tolerance of an unknown tensor: the default would apply silently."""
    known = {layer.name for one in comparisons for layer in one.layers}
    for name in settings.tolerances:
        if name not in known:
            message = f"--tolerance {name}: no tensor that was compared is called so"
            raise UsageError.of(Code.BAD_ARGUMENT, message, hint=did_you_mean(name, known))
