"""Image files -> their most probable classes, on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from resnetgen.errors import Code, Exit, Failure, Problem, fail
from resnetgen.frozen import Frozen
from resnetgen.predict.folder import Folder
from resnetgen.runtimes.images import Bytes, normalise, readable
from resnetgen.runtimes.onnxruntime import Device, Session
from resnetgen.weights.source import Array

BATCH = 8
"""Images at once, where neither the user nor the model says how many."""


class Guess(Frozen):
    number: int
    """Of the class, from 0."""
    label: str | None
    probability: float

    def to_json(self) -> dict[str, Any]:
        return {"class": self.number, "label": self.label, "probability": self.probability}


class Prediction(Frozen):
    image: Path
    top: tuple[Guess, ...]
    """The most probable first."""

    def to_json(self) -> dict[str, Any]:
        return {"image": str(self.image), "top": [guess.to_json() for guess in self.top]}


@dataclass
class Predictions:
    found: list[Prediction] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """Of the images that could not be read."""

    def failure(self) -> Failure | None:
        return Failure(Exit.IO, tuple(self.problems)) if self.problems else None


class Classifier:
    """The model of a folder, loaded."""

    def __init__(self, folder: Folder, device: Device) -> None:
        """Raises Failure (exit 4) where the model does not load, or takes other images than the preprocessing makes."""
        self.folder = folder
        self.session = Session(folder.model, device)
        first, *taken = self.session.input.shape or [None]
        self.batch: int | None = first if isinstance(first, int) else None
        """What the model's batch is fixed at."""
        channels, (height, width) = folder.preprocess.color.channels, folder.preprocess.crop
        made = [height, width, channels] if folder.embedded else [channels, height, width]
        if taken != made:
            message = f"{folder.model} takes images of {_by(taken)}, the preprocessing makes them {_by(made)}"
            raise fail(Exit.MODEL, Code.BAD_MODEL, message)

    def inputs(self, pictures: Sequence[Bytes]) -> npt.NDArray[Any]:
        """What the model takes for N pictures, each 1 x H x W x C as `load_bytes` gives it."""
        stacked = np.concatenate(pictures)
        return stacked if self.folder.embedded else normalise(stacked, self.folder.preprocess)

    def probabilities(self, pictures: Sequence[Bytes]) -> Array:
        """N x classes, for as many pictures as the batch has, or fewer."""
        missing = max(0, (self.batch or 0) - len(pictures))
        data = np.pad(self.inputs(pictures), [(0, missing), (0, 0), (0, 0), (0, 0)])
        (output,) = self.session.run(self.session.cast(data)).values()
        scores = output[: len(pictures)].reshape(len(pictures), -1).astype(np.float32)
        if not np.isfinite(scores).all():
            raise fail(Exit.MODEL, Code.BAD_MODEL, f"{self.folder.model}: its output holds NaN or Inf")
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
    """Classify all images that can be read; `progress` is told of each batch. Raises Failure for what concerns all."""
    size = batch or classifier.batch or BATCH
    if classifier.batch not in (None, size):
        message = f"--batch {batch}: the model was built for a batch of {classifier.batch}"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint="leave out --batch")
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
    """Of each row; less its largest value, so that no power overflows."""
    powers: Array = np.exp(scores - scores.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def _by(shape: Sequence[object]) -> str:
    return "x".join(map(str, shape))
