"""Networks written to files, and held on engines against the definitions in float64 (helpers.evaluate)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from resnetgen.backends.interpreter import Interpreter
from resnetgen.formats.caffe.validate import validate_caffemodel, validate_prototxt
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Fc,
    Flatten,
    GlobalAvgPool,
    MaxPool,
    Mul,
    Op,
    Relu,
    Sigmoid,
)
from support.helpers import (
    CaffeModel,
    OnnxModel,
    error,
    expected,
    graph,
    image,
    on_onnxruntime,
    on_reference_evaluator,
    random_weights,
    write_caffe,
    write_onnx,
)

TOLERANCE = 1e-5
"""Of the largest absolute value. Measured: 1e-7 on all engines."""
WRONG = 1e-3
"""What a negative control must differ by at least."""
OPSETS = (9, 11, 13, 17, 18, 20, 21, 23)


BRANCHES: dict[str, Graph] = {
    "three added": graph(
        (3, 8, 7),
        a=(Conv((3, 3), 4), "data"),
        b=(Conv((1, 1), 4), "data"),
        c=(Conv((5, 5), 4), "data"),
        d=(Add(), "a", "b", "c"),
    ),
    "added to itself": graph((3, 8, 7), a=(Conv((3, 3), 4), "data"), b=(Add(), "a", "a")),
    "the input is read again": graph((3, 8, 7), a=(Relu(), "data"), b=(Sigmoid(), "data"), c=(Add(), "data", "a", "b")),
    "a relu whose input is read again": graph(
        (3, 8, 7), a=(Conv((3, 3), 4), "data"), b=(Relu(), "a"), c=(Sigmoid(), "a"), d=(Add(), "a", "b", "c")
    ),
    "a norm whose input is read again": graph(
        (3, 8, 7), a=(Conv((3, 3), 4), "data"), b=(BatchNorm(), "a"), c=(Relu(), "a"), d=(Add(), "b", "c")
    ),
    "concatenated, norm of it": graph(
        (3, 8, 7),
        a=(Conv((3, 3), 4), "data"),
        b=(Conv((3, 3), 2), "data"),
        c=(Concat(), "b", "data", "a"),
        d=(BatchNorm(), "c"),
        e=(Relu(), "d"),
    ),
    "vectors concatenated": graph((3, 8, 7), a=(Fc(4), "data"), b=(Fc(2), "data"), c=(Concat(), "b", "a")),
    "vectors multiplied": graph((3, 8, 7), a=(Fc(4), "data"), b=(Fc(4), "data"), c=(Mul(), "b", "a")),
    "images multiplied": graph(
        (3, 8, 7), a=(Conv((3, 3), 4), "data"), b=(Conv((1, 1), 4), "data"), c=(Mul(), "b", "a"), d=(Relu(), "c")
    ),
    "a gate": graph(
        (3, 8, 7),
        a=(Conv((3, 3), 4), "data"),
        b=(GlobalAvgPool(), "a"),
        c=(Sigmoid(), "b"),
        d=(Mul(), "a", "c"),
        e=(Relu(), "d"),
    ),
    "a gate before its image": graph(
        (3, 8, 7), b=(GlobalAvgPool(), "data"), c=(Sigmoid(), "b"), d=(Mul(), "c", "data")
    ),
    "a gate on a row": graph((3, 1, 7), b=(GlobalAvgPool(), "data"), c=(Mul(), "data", "b")),
    "a gate on a gate": graph((3, 8, 7), b=(GlobalAvgPool(), "data"), c=(Sigmoid(), "b"), d=(Mul(), "c", "b")),
    "a flattened tensor beside its image": graph(
        (3, 8, 7),
        a=(Conv((3, 3), 4), "data"),
        b=(Flatten(), "a"),
        c=(Relu(), "b"),  # in place it would change what d reads: Caffe's Flatten shares memory
        d=(Sigmoid(), "a"),
        e=(Flatten(), "d"),
        f=(Add(), "c", "e"),
    ),
    "one flatten for two": graph(
        (3, 4, 3), a=(Flatten(), "data"), b=(Fc(36), "a"), c=(Fc(36), "a"), d=(Add(), "a", "b", "c")
    ),
}


def onnx_models(net: Graph, folder: Path, opset: int = 17) -> list[OnnxModel]:
    weights = random_weights(net)
    return [write_onnx(net, weights, folder, OnnxOptions(opset=opset), fold=fold) for fold in (False, True)]


def agrees_on_onnx(net: Graph, folder: Path, opset: int = 17) -> None:
    data = image(net, batch=2)
    wanted = expected(net, random_weights(net), data)
    assert net.shapes[net.output.name] == wanted.shape[1:]
    formulas = Interpreter(net, random_weights(net)).run({"data": data}, net.outputs)
    assert error(formulas[net.output.name], wanted) < 1e-12
    for model in onnx_models(net, folder, opset):
        assert validate(model.path, model.graph, model.plan, model.options, model.checksums) == []
        onnx.checker.check_model(str(model.path), full_check=True)
        assert error(on_onnxruntime(model.path, data), wanted) < TOLERANCE
        assert error(on_reference_evaluator(model.path, data), wanted) < TOLERANCE


def caffe_models(net: Graph, folder: Path, batch: int = 1) -> list[CaffeModel]:
    weights = random_weights(net)
    models = [write_caffe(net, weights, folder, fold=fold, batch=batch) for fold in (False, True)]
    for model in models:
        assert validate_prototxt(model.prototxt, model.graph, model.plan) == []
        assert validate_caffemodel(model.caffemodel, model.plan, model.checksums) == []
    return models


def differs(found: np.ndarray, wanted: np.ndarray) -> bool:
    return not error(found, wanted) < WRONG


def wrong_on_reference(op: Op) -> bool:
    return isinstance(op, MaxPool) and op.stride == (1, 1) and op.pad[0] != op.pad[1]
