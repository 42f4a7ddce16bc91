"""Check of config.pbtxt: it is parsed back and compared with the model's file, as Triton does when it loads both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from resnetgen.deploy.config import DYNAMIC
from resnetgen.deploy.schema import violations
from resnetgen.errors import Source
from resnetgen.formats.caffe.text import Field, Message, Scalar, parse
from resnetgen.formats.onnx.read import read_file
from resnetgen.formats.onnx.schema import TensorProto, ValueInfoProto

_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.FLOAT16: "TYPE_FP16",
    TensorProto.UINT8: "TYPE_UINT8",
}


def differences(text: str, folder: str, model: Path, labels: str | None) -> list[str]:
    """Return what Triton would refuse, or serve differently from the model; empty if all agrees.

    `folder`: name of the model's directory; `labels`: name of the labels file, None for none.
    """
    config = parse(Source("config.pbtxt", text))
    graph = read_file(model).model.graph
    lines = violations(text)
    if one(config, "name") != folder:
        lines.append(f"name is {one(config, 'name')}, the directory's {folder}")
    limit = int(one(config, "max_batch_size") or 0)
    lines += _tensors("input", config, graph.input, limit)
    lines += _tensors("output", config, graph.output, limit)
    lines += _batches(config, limit)
    if (found := [one(value, "label_filename") for value in messages(config, "output")]) != [labels]:
        lines.append(f"label_filename is {found}, the file of labels {labels}")
    return lines


def _tensors(field: str, config: Message, wanted: Iterable[ValueInfoProto], limit: int) -> Iterator[str]:
    said = {one(value, "name"): value for value in messages(config, field)}
    values = {value.name: value.type.tensor_type for value in wanted}
    if said.keys() != values.keys():
        yield f"{field} names {sorted(map(str, said))}, the model {sorted(values)}"
        return
    for name, kind in values.items():
        shape = [dim.dim_value or DYNAMIC for dim in kind.shape.dim]
        if limit and shape[:1] != [DYNAMIC]:
            yield f"max_batch_size is {limit}, but the batch of {name} is fixed at {shape[:1]}"
        dims = [int(dim) for dim in scalars(said[name], "dims")]
        if dims != (shape[1:] if limit else shape):
            yield f"dims of {name} are {dims}, the model's {shape} with the batch"
        if one(said[name], "data_type") != _TYPES.get(kind.elem_type):
            yield f"data_type of {name} is {one(said[name], 'data_type')}, the model's is {kind.elem_type}"


def _batches(config: Message, limit: int) -> Iterator[str]:
    """Yield the batch sizes above the limit."""
    asked = [
        int(size) for each in messages(config, "dynamic_batching") for size in scalars(each, "preferred_batch_size")
    ]
    asked += [int(one(sample, "batch_size") or 0) for sample in messages(config, "model_warmup")]
    yield from (f"a batch of {size} is above max_batch_size {limit}" for size in asked if size > limit)


def fields(message: Message, name: str) -> list[Field]:
    return [field for field in message.fields if field.name == name]


def messages(message: Message, name: str) -> list[Message]:
    return [field.value for field in fields(message, name) if isinstance(field.value, Message)]


def scalars(message: Message, name: str) -> list[str]:
    return [field.value.text for field in fields(message, name) if isinstance(field.value, Scalar)]


def one(message: Message, name: str) -> str | None:
    """Return the value of a field that occurs once, else None."""
    found = scalars(message, name)
    return found[0] if len(found) == 1 else None
