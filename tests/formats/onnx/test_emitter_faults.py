"""Mistakes of the writer, one at a time: reading the file back finds each, and not because the file is unplanned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from resnetgen.formats.onnx import lower, lower_ops, write
from resnetgen.formats.onnx.lower_ops import NodePlan
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.graph import Node
from resnetgen.profiles import find_profile
from support.helpers import compile_text, random_weights, write_onnx

NET = """
use: std
name: tiny
input: 4x9x9
stages:
  a: conv 3x3, 4, /2, C=2, bias | batchnorm | relu | maxpool 3x3, /2, ceil
  b: "[3x3, 4; 3x3, 4] | avgpool 3x3, /2, p=1, ceil | groupnorm groups=2"
  c: gap | fc 4 | fc 4 | softmax
"""
Change = Callable[[NodePlan], NodePlan | None]
"""A mistaken node in place of one that is right; None to leave it out."""


def of(kind: str, change: Change) -> Change:
    return lambda node: change(node) if node.type == kind else node


def attribute(kind: str, name: str, value: Any) -> Change:
    return of(kind, lambda node: replace(node, attributes={**node.attributes, name: value}))


def inputs(kind: str, order: list[int]) -> Change:
    return of(kind, lambda node: replace(node, inputs=[node.inputs[at] for at in order]))


NODES: dict[str, Change] = {
    "pads": attribute("Conv", "pads", [0, 0, 2, 2]),
    "pads of a pooling": attribute("MaxPool", "pads", [1, 1, 0, 0]),
    "strides": attribute("Conv", "strides", [1, 1]),
    "group": attribute("Conv", "group", 1),
    "epsilon": attribute("BatchNormalization", "epsilon", 1e-3),
    "transB": attribute("Gemm", "transB", 0),
    "a bias lost": inputs("Gemm", [0, 1]),
    "scale and shift swapped": inputs("BatchNormalization", [0, 2, 1, 3, 4]),
    "operands of another op": of("Add", lambda node: replace(node, type="Mul")),
    "a node dropped": of("Relu", lambda node: replace(node, type="Identity")),
    "a node twice": of("Relu", lambda node: replace(node, type="LeakyRelu", attributes={"alpha": 0.1})),
    "zeros under a pooling": attribute("AveragePool", "count_include_pad", 1),
}


def mistaken(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    real = lower.Lowered._onnx_nodes

    def changed(self: lower.Lowered, node: Node, tensors: list[Any]) -> Iterator[NodePlan]:
        for one in real(self, node, tensors):
            if made := change(one):
                yield made

    monkeypatch.setattr(lower.Lowered, "_onnx_nodes", changed)


def found(tmp_path: Path, options: OnnxOptions | None = None) -> list[str]:
    """What validation says of the file, beside that it is not as planned: the plan is mistaken as well."""
    graph = compile_text(NET)
    model = write_onnx(graph, random_weights(graph), tmp_path, options)
    lines = validate(model.path, graph, model.plan, model.options, model.checksums)
    assert "the file says something else than was planned" not in lines
    return lines


def test_a_right_writer(tmp_path: Path) -> None:
    assert found(tmp_path) == []
    assert found(tmp_path, OnnxOptions(external=True)) == []
    assert found(tmp_path, OnnxOptions(opset=17, runtime=find_profile("triton-23.04"))) == []


@pytest.mark.parametrize("fault", NODES)
def test_a_mistaken_node(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mistaken(monkeypatch, NODES[fault])
    assert found(tmp_path)


def wrong_dims(monkeypatch: pytest.MonkeyPatch) -> None:
    real = lower.Lowered.value

    def value(self: lower.Lowered, name: str, shape: tuple[int, ...], kind: int | None = None) -> Any:
        return real(self, name, (*shape[:-1], shape[-1] + 1) if name == "a/conv" else shape, kind)

    monkeypatch.setattr(lower.Lowered, "value", value)


def wrong_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector with an axis more, which ONNX Runtime does not load."""
    real = write.dims
    monkeypatch.setattr(write, "dims", lambda node, parameter, opset: (*real(node, parameter, opset), 1))


def varying_dims(monkeypatch: pytest.MonkeyPatch) -> None:
    real = lower.Lowered.value

    def value(self: lower.Lowered, name: str, shape: tuple[Any, ...], kind: int | None = None) -> Any:
        return real(self, name, ("C", *shape[1:]) if name == "a/conv" else shape, kind)

    monkeypatch.setattr(lower.Lowered, "value", value)


def wrong_constant(monkeypatch: pytest.MonkeyPatch) -> None:
    real = lower_ops.groupnorm

    def groupnorm(*args: Any) -> Iterator[NodePlan]:
        for node in real(*args):
            kept = [one for one in node.inputs if not isinstance(one, str)]
            for one in kept:
                if one.label == "one":
                    one.values[0] = 2
            yield node

    monkeypatch.setattr(lower_ops, "groupnorm", groupnorm)


def wrong_values(monkeypatch: pytest.MonkeyPatch) -> None:
    real = write._write_tensor

    def tensor(file: Any, head: Any, values: Any) -> None:
        real(file, head, np.ascontiguousarray(values[::-1]) if head.name == "c/fc2.weight" else values)

    monkeypatch.setattr(write, "_write_tensor", tensor)


def wrong_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two weights of one shape are read by each other's layers."""
    names = {"b/0/main/conv1": "b/0/main/conv2", "b/0/main/conv2": "b/0/main/conv1"}
    monkeypatch.setattr(lower, "initializer", lambda node, parameter: f"{names.get(node, node)}.{parameter}")


def wrong_opset(monkeypatch: pytest.MonkeyPatch) -> None:
    real = write.OperatorSetIdProto
    monkeypatch.setattr(write, "OperatorSetIdProto", lambda domain, version: real(domain=domain, version=version + 1))


def wrong_ir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "ir_version", lambda opset, runtime: lower.ir_version(opset, runtime) + 1)


def wrong_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower, "BATCH", "M")


OTHERS = {
    "declared shape": wrong_dims,
    "axes of an initializer": wrong_axes,
    "an extent that varies": varying_dims,
    "constant": wrong_constant,
    "values of an initializer": wrong_values,
    "weights of another layer": wrong_names,
    "opset": wrong_opset,
    "IR version": wrong_ir,
    "batch": wrong_batch,
}


@pytest.mark.parametrize("fault", OTHERS)
def test_a_mistaken_writer(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    OTHERS[fault](monkeypatch)
    assert found(tmp_path)


def test_offsets_of_external_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor begins where the one before it does."""
    real = write._tensor_head

    def head(*args: Any) -> Any:
        made = real(*args)
        made.external_data.add(key="offset", value="0")
        return made

    monkeypatch.setattr(write, "_tensor_head", head)
    assert found(tmp_path, OnnxOptions(external=True))
