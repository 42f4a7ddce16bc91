"""Tensors of the v2 inference protocol, checked against a model's inputs and made from its outputs."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from resnetgen.errors import Code, ModelError
from resnetgen.predict.request import DATATYPES
from resnetgen.serve.asgi import RequestError

ANY = -1
_NUMBERS = {int, float}
"""Python types of JSON numbers."""
_DTYPES = {"FP32": np.float32, "FP16": np.float16, "UINT8": np.uint8}


class TensorSpec(Struct, frozen=True):
    """Name, type and shape of an input or an output of a model."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """Shape with the batch; ANY for a dynamic dimension."""

    @classmethod
    def of(cls, value: Any) -> TensorSpec:
        """Return the tensor that ONNX Runtime describes. Raises ModelError for an unsupported type."""
        if value.type not in DATATYPES:
            raise ModelError.of(Code.BAD_MODEL, f"unsupported type of {value.name}: {value.type}")
        shape = tuple(size if isinstance(size, int) else ANY for size in value.shape)
        return cls(value.name, DATATYPES[value.type], shape)

    @property
    def metadata(self) -> dict[str, Any]:
        """Name, type and shape as the protocol lists them."""
        return {"name": self.name, "datatype": self.datatype, "shape": self.shape}

    @property
    def smallest(self) -> npt.NDArray[Any]:
        """Zeros in the smallest shape that the model takes."""
        return np.zeros([1 if size == ANY else size for size in self.shape], _DTYPES[self.datatype])

    def read(self, name: str, datatype: str, shape: list[int], data: Any) -> npt.NDArray[Any]:
        """Return the values that a client sent for this input. Raises RequestError if they do not fit."""
        if name != self.name:
            raise RequestError(f"unexpected input '{name}': the model takes '{self.name}'")
        if datatype != self.datatype:
            raise RequestError(f"input '{name}' has datatype {datatype}, the model takes {self.datatype}")
        is_allowed = len(shape) == len(self.shape) and all(
            size > 0 and own in (size, ANY) for size, own in zip(shape, self.shape, strict=True)
        )
        if not is_allowed:
            raise RequestError(f"input '{name}' has shape {shape}, the model takes {list(self.shape)}")
        values = self._numbers(data)
        if values.size != prod(shape):
            raise RequestError(f"input '{name}' has {values.size:,} values, its shape {shape} holds {prod(shape):,}")
        return values.reshape(shape)

    def _numbers(self, data: Any) -> npt.NDArray[Any]:
        """Return JSON's numbers, flat or nested, in the tensor's type. Raises RequestError for values that it cannot
        hold."""
        not_numbers = RequestError(f"the data of input '{self.name}' are not numbers")
        if not isinstance(data, list) or not set(map(type, data)) <= _NUMBERS:
            # Nested, or invalid. Converted to objects first: numpy would make each of several texts as long as the
            # longest.
            data = np.array(data, dtype=object)
            if not set(map(type, data.ravel())) <= _NUMBERS:
                raise not_numbers
        try:
            doubles = np.array(data, dtype=np.float64)
        except OverflowError:  # an integer too large for a float
            raise not_numbers from None
        with np.errstate(over="ignore", invalid="ignore"):
            values = doubles.astype(_DTYPES[self.datatype])
        is_representable = np.isfinite(values) if values.dtype.kind == "f" else values == doubles
        if not is_representable.all():
            raise RequestError(f"the data of input '{self.name}' have a value outside {self.datatype}")
        return values


def classify(rows: npt.NDArray[Any], count: int, labels: tuple[str, ...]) -> npt.NDArray[Any]:
    """Return the `count` largest values of each row as texts value:class:label, as in Triton's classification
    extension."""
    scores = rows.reshape(len(rows), -1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    texts = [
        [":".join((f"{row[number]:f}", str(number), *labels[number : number + 1])) for number in numbers]
        for row, numbers in zip(scores, order, strict=True)
    ]
    return np.array(texts, dtype=object)
