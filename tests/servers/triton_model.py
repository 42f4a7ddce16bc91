"""In place of Triton's ONNX Runtime backend, which the package on PyPI lacks: the model beside it, on ONNX Runtime.

It runs inside Triton, in the environment of RESNETGEN_TRITON_PYTHON. Where config.pbtxt and the model disagree it
refuses to load, as that backend does: left to the warm-up, a disagreement ended Triton 2.51 itself in 2 of 6 runs.
"""

from __future__ import annotations

import json
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
        config = json.loads(args["model_config"])
        for said, value in ((config["input"], self.input), (config["output"], self.output)):
            if [_said(each, config["max_batch_size"]) for each in said] != [_taken(value)]:
                raise pb.TritonModelException(f"config.pbtxt says {said}, the model {_taken(value)}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests that Triton has put together, as one batch, as its own backends run them."""
        tensors = [pb.get_input_tensor_by_name(request, self.input.name) for request in requests]
        images = [tensor.as_numpy() for tensor in tensors]
        (found,) = self.session.run([self.output.name], {self.input.name: np.concatenate(images)})
        parts = np.split(found, np.cumsum([len(each) for each in images])[:-1])
        return [pb.InferenceResponse([pb.Tensor(self.output.name, part)]) for part in parts]


def _said(tensor: dict[str, Any], max_batch: int) -> tuple[str, str, list[int]]:
    batch = [-1] if max_batch else []
    return tensor["name"], tensor["data_type"], [*batch, *map(int, tensor["dims"])]


def _taken(value: Any) -> tuple[str, str, list[int]]:
    kind = {"tensor(float)": "TYPE_FP32", "tensor(uint8)": "TYPE_UINT8"}[value.type]
    return value.name, kind, [size if isinstance(size, int) else -1 for size in value.shape]
