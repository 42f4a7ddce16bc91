"""Requests of the v2 inference protocol for image files, for Triton, KServe and `resnetgen serve`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from resnetgen.backends.images import readable
from resnetgen.errors import Code, FileError, Problem, UsageError
from resnetgen.predict.classify import Classifier
from resnetgen.ranges import TOP, require_room

DATATYPES = {"tensor(float)": "FP32", "tensor(float16)": "FP16", "tensor(uint8)": "UINT8"}
"""ONNX Runtime's name of a type -> the protocol's."""
_MAX_NUMBERS = 1 << 25
"""Limit of numbers in a request, 222 images of 3x224x224: each becomes a Python number and its digits."""


def request(classifier: Classifier, images: Sequence[Path], top: int) -> str:
    """Return JSON on one line: the images as one batch, and a request for the `top` classes of each with their labels.

    Raises Failure: exit 2 if the model's batch is fixed at another number of images, or it takes fp16, which the
    protocol's JSON lacks; exit 5 if an image cannot be read; exit 6 for more images than one request may hold.
    """
    TOP.require(top, "--top")
    if DATATYPES[classifier.session.input.type] == "FP16":
        message = f"{classifier.folder.model} takes fp16, which the v2 protocol carries in binary alone"
        hint = "without --fp16-io an fp16 model takes and gives fp32"
        raise UsageError.of(Code.UNSUPPORTED, message, hint=hint)
    if classifier.batch not in (None, len(images)):
        message = f"a request of {len(images)}: the model was built for a batch of {classifier.batch}"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=f"name {classifier.batch} images")
    require_room(len(images), classifier.image, "--request", _MAX_NUMBERS)
    problems: list[Problem] = []
    pictures = [pixels for _, pixels in readable(images, classifier.folder.preprocess, problems)]
    if problems:  # a request for fewer images would not be what the user asked for
        raise FileError(tuple(problems))
    data, session = classifier.inputs(pictures), classifier.session
    document = {
        "outputs": [{"name": classifier.folder.output, "parameters": {"classification": top}}],
        "inputs": [
            {
                "name": session.input.name,
                "shape": data.shape,
                "datatype": DATATYPES[session.input.type],
                "data": _numbers(data),
            }
        ],
    }
    return json.dumps(document, separators=(",", ":"))


def _numbers(data: npt.NDArray[Any]) -> list[Any]:
    """Return the values as numbers; floats have the fewest digits that give the same bits, half as long as doubles."""
    values = data.ravel()
    return [float(str(value)) for value in values] if values.dtype.kind == "f" else values.tolist()
