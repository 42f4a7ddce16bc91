"""PyTorch's libraries as oracles: their networks, figures, weights, and outputs, with norms that are not the identity.

A network is named as its spec is, `timm/resnet50d`. torch is imported where it is used. The tests that need it have the
mark `torch`.
"""

from __future__ import annotations

import ast
import gc
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from resnetgen.expand import expand
from resnetgen.ir.graph import Graph
from resnetgen.spec.load import load_file
from resnetgen.spec.syntax import Size
from resnetgen.weights.names import NameMap, load_name_map, weight_names
from resnetgen.weights.source import Array, Key
from support.helpers import error, on_onnxruntime, write_onnx

Module: TypeAlias = Any
"""A torch.nn.Module."""


def model(network: str, **options: Any) -> Module:
    """A library's network with random weights, the same in every run."""
    import torch

    library, _, name = network.partition("/")
    models = torchvision_models()  # timm imports torchvision, which this makes possible
    torch.manual_seed(0)
    if library == "torchvision":
        return getattr(models, name)(**options)
    import timm

    return timm.create_model(name, pretrained=False, **options)


def trained(network: str, *extents: int, **options: Any) -> tuple[Module, Array]:
    """The same with norms that are not the identity, and two images of a size."""
    found = model(network, **options)
    data = np.random.default_rng(1).standard_normal((2, *extents), dtype=np.float32)
    randomise_norms(found, data)
    return found, data


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
    """Give every norm random scales and shifts, and statistics about those of the data, so that nothing vanishes.

    Scales are small and variances at least the data's, as in a trained network. Else a deep network of gates is
    chaotic: its own library, in float32 and in float64, agrees with itself in no digit.
    """
    import torch

    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d | torch.nn.GroupNorm)]
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Any, low: float, high: float) -> Any:
        return torch.empty_like(like).uniform_(low, high, generator=generator)

    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0  # the statistics become those of the only batch
            norm.weight.copy_(uniform(norm.weight, 0.1, 0.5))
            norm.bias.copy_(uniform(norm.bias, -0.3, 0.3))
        model.train()(torch.from_numpy(data))
        for norm in norms:
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean += uniform(norm.bias, -0.3, 0.3) * norm.running_var.sqrt()
                norm.running_var *= uniform(norm.bias, 1, 2)
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


def digest(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """SHA-256 of lines such as `conv1.weight 64x3x7x7`, sorted."""
    lines = sorted(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    return sha256("\n".join(lines).encode()).hexdigest()


def macs(model: Module, image: tuple[int, ...]) -> int:
    """Of the convolutions and fully connected layers, for one image: each output takes one of the weight's rows."""
    import torch

    counts = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Linear):
            hook = lambda module, _, output: counts.append(module.weight[0].numel() * output.numel())  # noqa: E731
            module.register_forward_hook(hook)
    with torch.no_grad():
        model.eval()(torch.empty(1, *image, device=next(model.parameters()).device))
    return sum(counts)


@dataclass(frozen=True)
class Stored:
    """The weights in a state dict."""

    state: dict[str, Any]
    names: dict[Key, str]

    def tensor(self, node: str, parameter: str) -> Array:
        return np.array(self.state[self.names[node, parameter]].numpy(), np.float32, order="C")


def stored(model: Module, graph: Graph, names: NameMap) -> Stored:
    """A model's weights as a graph's; none may be missing, and none left over."""
    assert own_shapes(graph, names) == shapes(model)
    return Stored(model.state_dict(), {key: name for name, key in weight_names(graph, names).items()})


def own_shapes(graph: Graph, names: NameMap) -> dict[str, tuple[int, ...]]:
    """The names and shapes that a graph's weights have in the map's world."""
    found = {(node.name, p.name): p.shape for node in graph.nodes for p in graph.parameters(node)}
    return {name: found[key] for name, key in weight_names(graph, names).items()}


def at(path: Path, *extents: int) -> Graph:
    """The network of a spec for an input of another size."""
    spec = load_file(path)
    return expand(spec.at(Size(extents, spec.span)))


def folded_error(spec: Path, network: str, size: int, folder: Path, **options: Any) -> float:
    """How far a spec's folded model with a library's weights, on ONNX Runtime, is from the library's own network."""
    model, data = trained(network, 3, size, size, **options)
    wanted = run(model, data)
    assert wanted.std() > 0.01 * np.abs(wanted).max()  # the classes are not all one
    assert error(wanted[0], wanted[1]) > 0.01  # nor are the images
    graph = at(spec, 3, size, size)
    weights = stored(model, graph, load_name_map(network.partition("/")[0]))
    path = write_onnx(graph, weights, folder, fold=True).path
    del model, weights  # before ONNX Runtime holds them as well
    found = on_onnxruntime(path, data)
    path.unlink()  # up to 2 GB
    gc.collect()
    return error(found, wanted)
