"""A small network whose files are changed, and what validation says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import ModelProto, TensorProto

from resnetgen.formats.caffe.model.schema import message
from resnetgen.formats.onnx.validate import validate
from support.helpers import (
    OnnxModel,
)

NET = """
use: std
name: tiny
input: 2x8x9
blocks:
  gated:
    branches: {x: identity, gate: "gap | conv 1x1, 2, bias | sigmoid"}
    merge: mul
  beside:
    branches: {a: "3x3, 2", b: "3x3, 2"}
    merge: concat
stages:
  a: conv 3x3, 2 | batchnorm | relu | maxpool 3x3, /2, ceil
  b: "[3x3, 2; 3x3, 2] | gated() | beside()"
  c: avgpool 4x4, /3, p=1, ceil | flatten | fc 2 | fc 2 | softmax
"""
PLANNED = "the file says something else than was planned"
"""Said of every change; of one that the IR can express more must be said."""


def onnx_differences(model: OnnxModel, path: Path | None = None) -> list[str]:
    return validate(path or model.path, model.graph, model.plan, model.options, model.checksums)


def beside(path: Path, data: bytes) -> Path:
    """A changed copy in the same folder, so that external data is found."""
    changed = path.with_name(f"changed-{path.name}")
    changed.write_bytes(data)
    return changed


def net_parameter(data: bytes) -> Any:
    return message("NetParameter").FromString(data)


def node(proto: ModelProto, kind: str, number: int = 0) -> onnx.NodeProto:
    return [one for one in proto.graph.node if one.op_type == kind][number]


def swap_inputs(kind: str, a: int, b: int) -> Callable[[ModelProto], None]:
    def change(proto: ModelProto) -> None:
        inputs = node(proto, kind).input
        inputs[a], inputs[b] = inputs[b], inputs[a]

    return change


def tensor(proto: ModelProto, name: str) -> TensorProto:
    return next(one for one in proto.graph.initializer if one.name == name)
