"""A model's nodes while they are lifted: which tensor is written where, what is known of its shape, and refusals."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from resnetgen.errors import Code, Failure, ModelError
from resnetgen.escape import escape
from resnetgen.formats.onnx.model.read import OnnxModel
from resnetgen.ir.ops import Op, Shape

_MAX_SHOWN = 80
"""Limit in characters of a name or a value in an error."""
_HINT = "an ONNX model is read as far as its nodes are ops of docs/spec-language.md; export it with those in its place"


class StoredWeight(Struct, frozen=True):
    """A tensor of the file that is a parameter of an op."""

    tensor: str
    transposed: bool = False
    """True if the parameter has the tensor's two axes in the other order."""


class LiftedOps(Struct, frozen=True):
    """An op, or a chain of ops, for one node or several."""

    ops: tuple[Op, ...]
    """The last has the name of the node's output; without any, the output is the input under another name."""
    inputs: tuple[str, ...]
    """Tensors that the first op reads."""
    weights: tuple[StoredWeight, ...] = ()
    """Parameters of the last op, in order."""


class Unsupported(Exception):
    """Reason why a node cannot be an op."""


class Nodes:
    """Nodes by position, as `patterns.FileGraph` has them."""

    def __init__(self, model: OnnxModel) -> None:
        self.model = model
        self.nodes = model.nodes
        self.shapes: dict[str, Shape] = {}
        """Tensor -> its shape without the batch axis, for those that are computed by an op or an input."""
        self.aliases: dict[str, str] = {}
        """Tensor -> the one that has the same values."""
        self._producers: dict[str, tuple[int, int]] = {}
        self.readers = Counter(name for node in self.nodes for name in node.inputs)
        """Tensor -> number of inputs of nodes, and outputs of the graph, that it is."""
        self.readers.update(value.name for value in model.outputs)

    def add(self, at: int) -> None:
        """Let the nodes behind the one at a position read its outputs. Raises ModelError for one that exists."""
        for index, name in enumerate(self.nodes[at].outputs):
            if name in self._producers or name in self.shapes or self.model.is_constant(name):
                raise self.refuse(at, f"another tensor is called {_shown(name)}")
            if name:
                self._producers[name] = (at, index)

    def type(self, at: int) -> str:
        node = self.nodes[at]
        return f"{node.domain}.{node.operator}" if node.domain else node.operator

    def inputs(self, at: int) -> tuple[str | None, ...]:
        return tuple(self.aliases.get(name, name) or None for name in self.nodes[at].inputs)

    def value(self, at: int, name: str) -> Any:
        return self.nodes[at].attributes.get(name)

    def producer(self, output: Any) -> tuple[int, int] | None:
        return self._producers.get(output)

    def is_constant(self, output: Any) -> bool:
        return self.model.is_constant(output)

    def shape(self, output: Any) -> Shape:
        """Return the shape of a tensor. Raises Unsupported if it is not known."""
        if output in self.shapes:
            return self.shapes[output]
        if output in self.model.tensors:
            return self.model.tensors[output].shape
        raise Unsupported(f"{_shown(output)} is not known")

    def constant(self, output: Any) -> npt.NDArray[Any]:
        """Return the values of a constant. Raises Unsupported if it has none."""
        values = self.model.constant(output)
        if values is None:
            raise Unsupported(f"{_shown(output)} is no constant")
        return values

    def integer(self, at: int, name: str) -> int:
        """Return an attribute that has no default. Raises Unsupported if the node does not have it."""
        value = self.value(at, name)
        if type(value) is not int:
            raise Unsupported(f"it has no {name}")
        return value

    def ints(self, at: int, name: str, count: int, default: int | None = None) -> tuple[int, ...]:
        """Return an attribute of `count` numbers. Raises Unsupported for another count, or if it has no default."""
        value = self.value(at, name)
        if value is None and default is not None:
            return (default,) * count
        if not isinstance(value, tuple) or len(value) != count or not all(type(one) is int for one in value):
            raise Unsupported(f"{name} is {_shown(value)}, not a list of {count} numbers")
        return value

    def axes(self, at: int, rank: int) -> tuple[int, ...]:
        """Return the axes of a node for a tensor of `rank` axes with the batch, sorted, none of them negative."""
        value = self.value(at, "axes")
        if not isinstance(value, tuple) or not all(type(axis) is int and -rank <= axis < rank for axis in value):
            raise Unsupported(f"axes is {_shown(value)}")
        return tuple(sorted(axis % rank for axis in value))

    def axis(self, at: int, rank: int) -> int:
        value = self.value(at, "axis")
        if type(value) is not int or not -rank <= value <= rank:
            raise Unsupported(f"axis is {_shown(value)}")
        return value % rank if value < 0 else value

    def refuse(self, at: int, why: str = "") -> Failure:
        """Return the ModelError of a node that is no op of the IR."""
        node = self.nodes[at]
        reason = f": {why}" if why else ""
        message = f"unsupported layer: {_shown(self.type(at))} (node {_shown(node.name)}){reason}"
        return ModelError.of(Code.BAD_MODEL, f"{self.model.path}: {message}", hint=_HINT)


def unreadable(model: OnnxModel, what: str) -> Failure:
    """Return the ModelError of a model that is not a network of one image."""
    return ModelError.of(Code.BAD_MODEL, f"{model.path}: the ONNX model cannot be read: {what}")


def _shown(value: object) -> str:
    return escape(str(value), _MAX_SHOWN)


def count(shape: Shape) -> int:
    return int(prod(shape))


def equals(values: npt.NDArray[Any], expected: object) -> bool:
    return bool(np.array_equal(values, np.asarray(expected)))
