"""Model of ONNX Runtime that answers requests of the v2 inference protocol."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from resnetgen.backends.onnxruntime import Session
from resnetgen.errors import Failure
from resnetgen.predict import Served
from resnetgen.serve.asgi import RequestError
from resnetgen.serve.protocol import InferenceRequest, RequestedOutput, decode_request
from resnetgen.serve.protocol_tensors import TensorSpec, classify

_PLATFORM = "onnxruntime_onnx"
"""Triton's name of the platform."""
_OUR_FAULT = 500


class ServedModel:
    """Model that answers with its outputs, or with their largest values and labels if `classification` is requested."""

    def __init__(self, name: str, served: Served, session: Session) -> None:
        """Run the model once: this chooses kernels, and ends the session's profile. Raises Failure."""
        self.name, self._labels, self._session = name, served.labels, session
        self.input = TensorSpec.of(session.input)
        self.outputs = {value.name: TensorSpec.of(value) for value in session.given}
        session.run(self.input.smallest)

    @property
    def metadata(self) -> dict[str, Any]:
        """The model's name, inputs and outputs, as the protocol lists them."""
        tensors = {"inputs": [self.input.metadata], "outputs": [output.metadata for output in self.outputs.values()]}
        return {"name": self.name, "versions": [], "platform": _PLATFORM, **tensors}

    def infer(self, body: bytes) -> bytes:
        """Return the answer to a request, both JSON.

        Raises RequestError: status 400 for errors of the client, 500 for the model's.
        """
        request = decode_request(body)
        data, requested = self._read_input(request), self._choose_outputs(request)
        try:
            values = self._session.run(data)
        except Failure as failure:
            raise RequestError(str(failure), _OUR_FAULT) from None
        answer = {"model_name": self.name} | ({} if request.id is None else {"id": request.id})
        return msgspec.json.encode(answer | {"outputs": [self._answer(each, values[each.name]) for each in requested]})

    def _read_input(self, request: InferenceRequest) -> npt.NDArray[Any]:
        if len(request.inputs) != 1:
            raise RequestError(f"{len(request.inputs):,} inputs, the model takes '{self.input.name}' alone")
        (tensor,) = request.inputs
        return self.input.read(tensor.name, tensor.datatype, tensor.shape, tensor.data)

    def _choose_outputs(self, request: InferenceRequest) -> list[RequestedOutput]:
        requested = request.outputs or [RequestedOutput(name) for name in self.outputs]
        for output in requested:
            if output.name not in self.outputs:
                raise RequestError(f"unexpected output '{output.name}': the model gives {', '.join(self.outputs)}")
        if len(requested) > len({output.name for output in requested}):
            raise RequestError("an output is requested twice")
        return requested

    def _answer(self, output: RequestedOutput, values: npt.NDArray[Any]) -> dict[str, Any]:
        if not np.isfinite(values).all():
            raise RequestError(f"output '{output.name}' has NaN or infinite values, which JSON lacks", _OUR_FAULT)
        datatype = self.outputs[output.name].datatype
        if output.classes:
            values, datatype = classify(values, output.classes, self._labels), "BYTES"
        return {"name": output.name, "shape": values.shape, "datatype": datatype, "data": values.ravel().tolist()}
