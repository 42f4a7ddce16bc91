"""OpenCV's Caffe importer: runs a prototxt with its caffemodel as users of cv2.dnn do, in float32 and with fusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from resnetgen.errors import Code, Failure, FileError, LimitError, ModelError
from resnetgen.weights.source import Array


class OpenCvNet:
    """A loaded net, which can be run any number of times."""

    def __init__(self, prototxt: str, caffemodel: bytes) -> None:
        """Load a net. Raises ModelError if OpenCV cannot read it. OpenCV ignores unknown fields silently."""
        with _failures():
            self._net = _engine().dnn.readNetFromCaffe(_buffer(prototxt.encode()), _buffer(caffemodel))
            self.outputs: tuple[str, ...] = tuple(self._net.getUnconnectedOutLayersNames())
            """Layers that no other layer reads."""

    def run(self, data: npt.NDArray[Any]) -> dict[str, Array]:
        """Return the (first) top of each output layer, by its name."""
        if len(self.outputs) == 1:
            return {self.outputs[0]: self._forward(data)}
        return self.run_layers(data, self.outputs)

    def run_layers(self, data: npt.NDArray[Any], layers: Sequence[str]) -> dict[str, Array]:
        """Return the (first) tops of these layers. OpenCV does not fuse a layer whose output is requested."""
        return dict(zip(layers, self._forward(data, list(layers)), strict=True)) if layers else {}

    def _forward(self, data: npt.NDArray[Any], *names: list[str]) -> Any:
        with _failures():
            self._net.setInput(data)
            found = self._net.forward(*names)
            # The next run overwrites the arrays of this one.
            return [np.array(value) for value in found] if names else np.array(found)


def version() -> str:
    return f"OpenCV {_engine().__version__}"


@cache
def _engine() -> Any:
    try:
        import cv2
    except ImportError as error:
        hint = "pip install 'resnetgen[caffe]'"
        raise FileError.of(Code.MISSING_FILE, f"OpenCV cannot be imported: {error}", hint=hint) from None
    _silence(cv2)
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        hint = "pip install 'resnetgen[caffe]' takes a version that has it"
        raise FileError.of(Code.MISSING_FILE, f"OpenCV {cv2.__version__} has no Caffe importer", hint=hint)
    return cv2


def _silence(cv2: Any) -> None:
    """Silence OpenCV's log; it raises errors as well. In 4.10 the function is in another module."""
    logging = getattr(cv2.utils, "logging", cv2)
    logging.setLogLevel(0)


def _buffer(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


@contextmanager
def _failures() -> Iterator[None]:
    """Turn every error of the engine into a Failure: its own class, and exceptions of its Python binding.

    Its own errors read: OpenCV(4.14.0) /its/own/source.cpp:98: error: (-2:Unspecified error) the reason in function
    'that'.
    """
    try:
        yield
    except Failure:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = (str(error).strip().partition(" error: ")[2] or str(error).strip()) if lines else type(error).__name__
        if isinstance(error, MemoryError) or "OutOfMemoryError" in reason or "Insufficient memory" in reason:
            message = f"there is not enough memory for OpenCV to run the net: {reason}"
            raise LimitError.of(Code.LIMIT, message, hint="fewer images at once: --batch") from None
        hint = "OpenCV reads what `resnetgen build --target caffe --dialect opencv` writes"
        raise ModelError.of(Code.BAD_MODEL, f"OpenCV refuses the net: {reason}", hint=hint) from None
