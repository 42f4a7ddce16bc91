"""PyTorch's libraries as oracles: their networks, with norms that are not the identity, and their weights.

torch is imported where it is used. The tests that need it have the marker `torch` and skip where it is absent.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from resnetgen.expand import expand
from resnetgen.ir.graph import Graph
from resnetgen.spec.load import load
from resnetgen.spec.syntax import Size
from resnetgen.weights.names import NameMap, weight_names
from resnetgen.weights.source import Array, Key

Module: TypeAlias = Any
"""A torch.nn.Module."""


@cache
def torchvision_models() -> Any:
    """torchvision.models, with a CPU torch as well."""
    try:
        import torchvision
    except RuntimeError:
        _define_missing_ops()
        import torchvision
    return torchvision.models


def _define_missing_ops() -> None:
    """With a CPU torch, torchvision's C++ ops do not load; its models are plain Python and need none of them."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).with_name("_meta_registrations.py").read_text(encoding="utf-8"))
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
        name = ast.unparse(call.func)
        if name.endswith(("register_fake", "register_meta")) and isinstance(call.args[0], ast.Constant):
            op = str(call.args[0].value).removeprefix("torchvision::")
            torch.library.define(f"torchvision::{op}", "(Tensor x) -> Tensor")


def randomise_norms(model: Module, data: Array, seed: int = 0) -> None:
    """Give every norm random statistics, scales and shifts, about those of the data so that nothing vanishes."""
    import torch

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Any) -> Any:
        return torch.rand(like.shape, generator=generator) + 0.5

    def normal(like: Any) -> Any:
        return 0.2 * torch.randn(like.shape, generator=generator)

    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.from_numpy(data))
        for norm in norms:
            norm.running_mean += normal(norm.bias) * norm.running_var.sqrt()
            norm.running_var *= uniform(norm.bias)
            norm.weight.copy_(uniform(norm.weight))
            norm.bias.copy_(normal(norm.bias))
    model.eval()


def run(model: Module, data: Array) -> Array:
    import torch

    with torch.no_grad():
        return np.asarray(model.eval()(torch.from_numpy(data)).numpy())


def shapes(model: Module) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a state dict, but for the batches that each norm has counted."""
    return {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if not name.endswith(".num_batches_tracked")
    }


@dataclass(frozen=True)
class Stored:
    """The weights in a state dict."""

    state: dict[str, Any]
    names: dict[Key, str]

    def tensor(self, node: str, parameter: str) -> Array:
        return np.array(self.state[self.names[node, parameter]].numpy(), np.float32, order="C")


def stored(model: Module, graph: Graph, names: NameMap) -> Stored:
    return Stored(model.state_dict(), {key: name for name, key in weight_names(graph, names).items()})


def own_shapes(graph: Graph, names: NameMap) -> dict[str, tuple[int, ...]]:
    """The names and shapes that a graph's weights have in the map's world."""
    found = {(node.name, p.name): p.shape for node in graph.nodes for p in graph.parameters(node)}
    return {name: found[key] for name, key in weight_names(graph, names).items()}


def at(path: Path, *extents: int) -> Graph:
    """The network of a spec for an input of another size."""
    spec = load(path)
    return expand(spec.at(Size(extents, spec.span)))
