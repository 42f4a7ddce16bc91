"""Model of ONNX Runtime as a model of MLServer."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import numpy.typing as npt
from mlserver import MLModel, ModelSettings
from mlserver.errors import InferenceError, MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, MetadataTensor, RequestOutput, ResponseOutput

from resnetgen.backends.onnxruntime import Session
from resnetgen.errors import Failure
from resnetgen.escape import escape
from resnetgen.predict import Served
from resnetgen.serve.asgi import RefusedError
from resnetgen.serve.limits import MAX_MESSAGE
from resnetgen.serve.tensors import Tensor, classify

PLATFORM = "onnxruntime_onnx"
"""Triton's name of the platform."""
_OUR_FAULT = 500


class OnnxModel(MLModel):
    """Model that answers with its outputs, or with their largest values and labels if `classification` is requested."""

    def __init__(self, settings: ModelSettings, served: Served, session: Session) -> None:
        super().__init__(settings)
        self._labels, self._session = served.labels, session
        self._input = Tensor.of(session.input)
        self._given = {value.name: Tensor.of(value) for value in session.given}
        self.inputs, self.outputs = [_said(self._input)], [_said(tensor) for tensor in self._given.values()]

    async def load(self) -> bool:
        """Run the model once: this chooses kernels, and ends the session's profile."""
        await asyncio.to_thread(self._session.run, self._input.smallest)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a request. Raises InferenceError (status 400) for errors of the client, MLServerError (status 500) for
        the model's."""
        try:
            data, wanted = self._read(payload), self._wanted(payload)
            found = await asyncio.to_thread(self._session.run, data)
            outputs = [self._answer(output, found[output.name]) for output in wanted]
        except RefusedError as error:
            raise InferenceError(escape(str(error), MAX_MESSAGE)) from None
        except Failure as failure:
            raise MLServerError(str(failure), _OUR_FAULT) from None
        return InferenceResponse(model_name=self.name, outputs=outputs)

    def _read(self, payload: InferenceRequest) -> npt.NDArray[Any]:
        if len(payload.inputs) != 1:
            raise RefusedError(f"{len(payload.inputs)} inputs, the model takes '{self._input.name}' alone")
        (given,) = payload.inputs
        return self._input.read(given.name, given.datatype, given.shape, given.data.root)

    def _wanted(self, payload: InferenceRequest) -> list[RequestOutput]:
        wanted = payload.outputs or [RequestOutput(name=name) for name in self._given]
        if repeated := len(wanted) - len({output.name for output in wanted}):
            raise RefusedError(f"outputs are asked for twice: {repeated} of {len(wanted)}")
        for output in wanted:
            if output.name not in self._given:
                raise RefusedError(f"unexpected output '{output.name}': the model gives {', '.join(self._given)}")
            if _classes(output) < 0:
                raise RefusedError(f"classification of output '{output.name}' is no number of classes")
        return wanted

    def _answer(self, output: RequestOutput, values: npt.NDArray[Any]) -> ResponseOutput:
        if not np.isfinite(values).all():
            raise MLServerError(f"output '{output.name}' holds NaN or Inf, which JSON cannot say", _OUR_FAULT)
        datatype = self._given[output.name].datatype
        if count := _classes(output):
            values, datatype = classify(values, count, self._labels), "BYTES"
        flat = values.ravel().tolist()
        return ResponseOutput(name=output.name, shape=list(values.shape), datatype=datatype, data=flat)


def _said(tensor: Tensor) -> MetadataTensor:
    return MetadataTensor(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape))


def _classes(output: RequestOutput) -> int:
    """Return the number of classes requested; 0 for the tensor itself, -1 for an invalid number."""
    asked = getattr(output.parameters, "classification", 0)
    return asked if type(asked) is int else -1
