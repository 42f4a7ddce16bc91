"""config.pbtxt against Triton's own schema, and against the model that it configures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import onnx
from google.protobuf import text_format

_TYPES = {
    onnx.TensorProto.FLOAT: "TYPE_FP32",
    onnx.TensorProto.FLOAT16: "TYPE_FP16",
    onnx.TensorProto.UINT8: "TYPE_UINT8",
}


def schema() -> Any:
    """Return tritonclient's module of Triton's messages alone: its package would import gRPC."""
    package = find_spec("tritonclient")
    assert package
    assert package.origin
    path = Path(package.origin).parent / "grpc" / "model_config_pb2.py"
    spec = spec_from_file_location("triton_model_config", path)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCHEMA = schema()


def parse(text: str) -> Any:
    """Return the ModelConfig of a text. Raises text_format.ParseError where Triton's schema does not allow it."""
    return text_format.Parse(text, SCHEMA.ModelConfig())


def differences(text: str, folder: str, model: Path, labels: str = "") -> list[str]:
    """Return what Triton would refuse, or serve differently from the model; empty if all agrees.

    `folder`: name of the model's directory; `labels`: name of the labels file.
    """
    try:
        config = parse(text)
    except text_format.ParseError as error:
        return [f"Triton's schema does not allow it: {error}"]
    graph, limit = onnx.load(model, load_external_data=False).graph, config.max_batch_size
    lines = [] if config.name == folder else [f"name is {config.name}, the directory's {folder}"]
    lines += _tensors("input", config.input, graph.input, limit)
    lines += _tensors("output", config.output, graph.output, limit)
    sizes = [*config.dynamic_batching.preferred_batch_size, *(sample.batch_size for sample in config.model_warmup)]
    lines += [f"a batch of {size} is above max_batch_size {limit}" for size in sizes if size > limit]
    files = [output.label_filename for output in config.output]
    return lines if files == [labels] else [*lines, f"label_filename is {files}, the file of labels {labels!r}"]


def _tensors(field: str, tensors: Iterable[Any], values: Iterable[Any], limit: int) -> Iterator[str]:
    configured = {tensor.name: tensor for tensor in tensors}
    types = {value.name: value.type.tensor_type for value in values}
    if configured.keys() != types.keys():
        yield f"{field} names {sorted(configured)}, the model {sorted(types)}"
        return
    for name, kind in types.items():
        shape = [dim.dim_value or -1 for dim in kind.shape.dim]
        if limit and shape[:1] != [-1]:
            yield f"max_batch_size is {limit}, but the batch of {name} is fixed at {shape[:1]}"
        if (dims := list(configured[name].dims)) != (shape[1:] if limit else shape):
            yield f"dims of {name} are {dims}, the model's {shape} with the batch"
        if (data_type := SCHEMA.DataType.Name(configured[name].data_type)) != _TYPES.get(kind.elem_type):
            yield f"data_type of {name} is {data_type}, the model's is {kind.elem_type}"
