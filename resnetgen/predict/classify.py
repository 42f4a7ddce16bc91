"""Classification of image files on ONNX Runtime: the most probable classes of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from resnetgen.backends.images import Bytes, normalise, readable
from resnetgen.backends.onnxruntime import Device, Session
from resnetgen.errors import Code, Failure, FileError, ModelError, Problem, UsageError
from resnetgen.predict.folder import Folder
from resnetgen.predict.scores import by, check_output, to_scores
from resnetgen.ranges import BATCH, TOP, require_room
from resnetgen.weights.source import Array

USUAL_BATCH = 8
"""Default batch size, if neither the user nor the model sets one."""
_TYPES = {True: ("tensor(uint8)",), False: ("tensor(float)", "tensor(float16)")}
"""Types of an input; the key is True if the model does the preprocessing itself."""


class Guess(Struct, frozen=True):
    number: int
    """Number of the class, from 0."""
    label: str | None
    probability: float

    def to_json(self) -> dict[str, Any]:
        return {"class": self.number, "label": self.label, "probability": self.probability}


class Prediction(Struct, frozen=True):
    image: Path
    top: tuple[Guess, ...]
    """Guesses, the most probable first."""

    def to_json(self) -> dict[str, Any]:
        return {"image": str(self.image), "top": [guess.to_json() for guess in self.top]}


class Predictions(Struct):
    found: list[Prediction] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """Problems of the images that could not be read."""

    def failure(self) -> Failure | None:
        return FileError(tuple(self.problems)) if self.problems else None


class Classifier:
    """A loaded model of a folder."""

    def __init__(self, folder: Folder, device: Device) -> None:
        """Load the model of a folder.

        Raises ModelError if it does not load, takes other images than the preprocessing makes, or has no output
        of class scores.
        """
        self.folder = folder
        self.session = Session(folder.model, device)
        first, *taken = self.session.input.shape or [None]
        self.batch: int | None = first if isinstance(first, int) else None
        """Fixed batch size of the model; None if it is dynamic."""
        channels, (height, width) = folder.preprocess.color.channels, folder.preprocess.crop
        self.image = (height, width, channels) if folder.embedded else (channels, height, width)
        """Shape of one image in the model's input."""
        # A dynamic extent matches any size.
        fits = len(taken) == 3 and all(a == b for a, b in zip(taken, self.image, strict=True) if isinstance(a, int))
        if not fits or self.batch == 0:
            shown = by(taken) if self.batch != 0 else by(self.session.input.shape)
            message = f"{folder.model} takes images of {shown}, the preprocessing makes them {by(self.image)}"
            raise ModelError.of(Code.BAD_MODEL, message)
        if self.session.more_inputs or self.session.input.type not in _TYPES[folder.embedded]:
            listed = ", ".join(f"{one.name}: {one.type}" for one in (self.session.input, *self.session.more_inputs))
            message = (
                f"{folder.model} takes {listed}; a classifier takes one input, {' or '.join(_TYPES[folder.embedded])}"
            )
            raise ModelError.of(Code.BAD_MODEL, message)
        check_output(folder.model, self.session.given, "" if folder.output_is_scalar else folder.output)

    def inputs(self, pictures: Sequence[Bytes]) -> npt.NDArray[Any]:
        """Return the model's input for N pictures, each 1 x H x W x C from `load_bytes`."""
        stacked = np.concatenate(pictures)
        return stacked if self.folder.embedded else normalise(stacked, self.folder.preprocess)

    def probabilities(self, pictures: Sequence[Bytes]) -> Array:
        """Return the probabilities, N x classes, of up to a batch of pictures."""
        missing = max(0, (self.batch or 0) - len(pictures))
        data = np.pad(self.inputs(pictures), [(0, missing), (0, 0), (0, 0), (0, 0)])
        (output,) = self.session.run(self.session.cast(data), [self.folder.output]).values()
        scores = to_scores(self.folder.model, self.session.given, output, len(data))[: len(pictures)]
        labels, classes = len(self.folder.labels), scores.shape[1]
        if labels not in (0, classes):
            raise FileError.of(Code.LABELS, f"{labels:,} labels for {classes:,} classes ({self.folder.model.name})")
        return scores if self.folder.gives_distribution else _softmax(scores)

    def guesses(self, probabilities: Array, top: int) -> tuple[Guess, ...]:
        order, labels = np.argsort(-probabilities, kind="stable")[:top], self.folder.labels
        return tuple(Guess(int(i), labels[i] if labels else None, float(probabilities[i])) for i in order)


def predict(
    classifier: Classifier,
    images: Sequence[Path],
    top: int = 5,
    batch: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Predictions:
    """Classify all images that can be read; `progress` is called with the size of each batch. Raises Failure for errors
    that concern all images."""
    BATCH.require(batch, "--batch")
    TOP.require(top, "--top")
    size = batch or classifier.batch or USUAL_BATCH
    if classifier.batch not in (None, size):
        message = f"--batch {batch}: the model was built for a batch of {classifier.batch}"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="leave out --batch")
    require_room(classifier.batch or min(size, len(images)), classifier.image, "--batch")
    result = Predictions()
    for start in range(0, len(images), size):
        part = images[start : start + size]
        read = list(readable(part, classifier.folder.preprocess, result.problems))
        if read:
            rows = classifier.probabilities([pixels for _, pixels in read])
            pairs = zip(read, rows, strict=True)
            result.found += [Prediction(path, classifier.guesses(row, top)) for (path, _), row in pairs]
        progress(len(part))
    return result


def _softmax(scores: Array) -> Array:
    """Return the softmax of each row; the largest value is subtracted first, so that no power overflows."""
    powers: Array = np.exp(scores - scores.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers
