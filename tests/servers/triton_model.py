"""In place of Triton's ONNX Runtime backend, which the package on PyPI lacks: the model beside it, on ONNX Runtime.

It runs inside Triton, in the environment of RESNETGEN_TRITON_PYTHON, and takes nothing from config.pbtxt: where that
and the model disagree, ONNX Runtime refuses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        path = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (self.input,), (self.output,) = self.session.get_inputs(), self.session.get_outputs()

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests that Triton has put together, as one batch, as its own backends run them."""
        tensors = [pb.get_input_tensor_by_name(request, self.input.name) for request in requests]
        images = [tensor.as_numpy() for tensor in tensors]
        (found,) = self.session.run([self.output.name], {self.input.name: np.concatenate(images)})
        parts = np.split(found, np.cumsum([len(each) for each in images])[:-1])
        return [pb.InferenceResponse([pb.Tensor(self.output.name, part)]) for part in parts]
