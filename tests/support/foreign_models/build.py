"""The classifier that the models are made from, and the list of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
SHAPE = (3, 8, 8)
"""Of an image."""
CLASSES = 5
SCORES = "scores"

Make = Callable[[], "ModelProto | bytes"]
MODELS: dict[str, Make] = {}
"""Name -> function that makes the model, or its bytes."""


def model(make: Make) -> Make:
    MODELS[make.__name__] = make
    return make


def value(name: str, kind: int = FLOAT, shape: Sequence[Any] | None = ("N", CLASSES)) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def tensor(name: str, values: Any, dtype: str = "f4") -> TensorProto:
    return numpy_helper.from_array(np.array(values, dtype), name)


def net(
    after: Sequence[NodeProto] = (),
    outputs: Sequence[ValueInfoProto] = (),
    *,
    flatten: Sequence[NodeProto] = (helper.make_node("Flatten", ["pool"], ["flat"]),),
    inputs: Sequence[ValueInfoProto] = (value("x", FLOAT, ("N", *SHAPE)),),
    weights: Sequence[TensorProto] = (),
    functions: Sequence[FunctionProto] = (),
    domains: Sequence[str] = (),
    opset: int = 17,
) -> ModelProto:
    """A classifier with nodes behind its scores: convolution, ReLU, pooling, flattening, product."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["pool"]),
        *flatten,
        helper.make_node("Gemm", ["flat", "fc.weight"], [SCORES]),
        *after,
    ]
    kernels = tensor("conv.weight", random.standard_normal((4, 3, 3, 3)))
    matrix = tensor("fc.weight", random.standard_normal((4, CLASSES)))
    graph = helper.make_graph(nodes, "foreign", inputs, outputs or [value(SCORES)], [kernels, matrix, *weights])
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=imports, functions=list(functions))
    made.ir_version = 8
    return made


def last(op: str, kind: int = FLOAT, shape: Sequence[Any] | None = ("N", CLASSES), **attributes: Any) -> ModelProto:
    """The classifier with one node behind its scores."""
    return net([helper.make_node(op, [SCORES], ["y"], **attributes)], [value("y", kind, shape)])


def constant(name: str, values: Any) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=tensor(name, values, "i8"))


def content(name: str) -> bytes:
    """The bytes of a model's file."""
    made = MODELS[name]()
    return made if isinstance(made, bytes) else made.SerializeToString()
