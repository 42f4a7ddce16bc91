"""The specs of timm's models/resnet.py: its own figures, and its own outputs where torch and timm are there."""

from __future__ import annotations

import csv
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import bundled, error, image, on_onnxruntime, write_onnx
from oracle import at, torchvision_models

from resnetgen.expand import expand
from resnetgen.resources import SPECS
from resnetgen.spec.find import find_spec
from resnetgen.spec.load import load
from resnetgen.summary import summarise
from resnetgen.weights.source import Array

FIGURES = Path(__file__).parent / "data" / "timm.csv"
"""Of timm 1.0.31: trainable parameters, and MACs of convolutions and fully connected layers."""

ROWS = {row["name"]: row for row in csv.DictReader(FIGURES.read_text().splitlines())}

# Each with what only it or few have. 80 makes the pooling of the last shortcut meet an odd size.
RUN = [
    ("resnet18", 64),  # basic blocks
    ("resnet10t", 80),  # tiered stem; shortcuts that average
    ("resnet26", 64),  # bottlenecks
    ("resnet26d", 80),  # deep stem
    ("resnet50c", 64),  # deep stem, projections
    ("resnet50s", 64),  # stem of twice the width
    ("resnetaa34d", 64),  # averages in basic blocks and in the stem
    ("resnetaa50", 64),  # averages in bottlenecks
    ("resnetrs50", 80),  # a convolution for the max pooling; squeeze-and-excitation to a quarter
    ("seresnet18", 64),  # squeeze-and-excitation in basic blocks
    ("seresnext26t_32x4d", 80),  # groups
    ("senet154", 64),  # halved first 1x1, 3x3 projections
    ("wide_resnet50_2", 64),  # doubled inner widths
    ("seresnetaa50d", 64),
    ("test_resnet", 80),  # both kinds of block
]


def test_every_spec_has_figures() -> None:
    assert sorted(ROWS) == sorted(path.stem for path in (SPECS / "timm").glob("*.yaml"))


@pytest.mark.parametrize("name", ROWS)
def test_figures(name: str) -> None:
    spec = load(find_spec(f"timm/{name}"))
    total = summarise(spec, expand(spec)).total
    found = {"input": str(spec.input), "parameters": str(total.parameters), "macs": str(total.macs)}
    assert found == {key: ROWS[name][key] for key in found}


@pytest.mark.torch
@pytest.mark.parametrize(("name", "size"), RUN)
def test_outputs(name: str, size: int, tmp_path: Path) -> None:
    assert difference(name, name, size, tmp_path) < 1e-4


@pytest.mark.torch
@pytest.mark.parametrize(("ours", "theirs"), [("resnet50c", "resnet50d"), ("resnet50", "resnetaa50")])
def test_outputs_tell_networks_apart(ours: str, theirs: str, tmp_path: Path) -> None:
    """Negative control: shortcuts that stride for such that average, and so in the main branch."""
    assert difference(ours, theirs, 64, tmp_path) > 1e-2


def difference(ours: str, theirs: str, size: int, folder: Path) -> float:
    """How far our folded model with timm's weights, on ONNX Runtime, is from timm's in float64."""
    torch, model = timm_model(theirs)
    graph = at(find_spec(f"timm/{ours}"), 3, size, size)
    weights = Given(model.state_dict())
    keys = {(node.name, parameter.name) for node in graph.nodes for parameter in graph.parameters(node)}
    if keys != weights.tensors.keys():
        return float("inf")
    data = image(graph)
    found = on_onnxruntime(write_onnx(graph, weights, folder, fold=True).path, data)
    with torch.no_grad():
        wanted = model.double()(torch.from_numpy(data).double()).numpy()
    assert wanted.std() > 0.01 * np.abs(wanted).max()  # the classes are not all one
    return error(found, wanted)


def test_paths_are_timms() -> None:
    """What `place` says of some names, so that it is also held to something without torch."""
    names = {node.name for node in bundled("timm/seresnext26t_32x4d").nodes}
    timms = ["conv1.3", "conv1.4", "bn1", "layer2.0.conv3", "layer2.0.se.fc2", "layer4.0.downsample.2", "fc"]
    assert {place(name, set(timms)) for name in timms} <= names


class Given:
    """timm's tensors as the parameters of our nodes; copied, since timm may go on with them."""

    def __init__(self, state: dict[str, Any]) -> None:
        modules = {key.rpartition(".")[0] for key in state}
        norms = {key.rpartition(".")[0] for key in state if key.endswith(".running_mean")}
        own = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "variance"}
        self.tensors: dict[tuple[str, str], Array] = {}
        for key, values in state.items():
            module, _, parameter = key.rpartition(".")
            if parameter != "num_batches_tracked":
                ours = own[parameter] if module in norms else parameter
                self.tensors[place(module, modules), ours] = values.numpy().copy()

    def tensor(self, node: str, parameter: str) -> Array:
        return self.tensors[node, parameter].copy()


def place(module: str, modules: set[str]) -> str:
    """Our node for one of timm's modules; `modules` tells a stem of one convolution from one of three."""
    *stage, kind = module.split(".")
    deep = "conv1.3" in modules
    match stage:
        case []:
            return {"conv1": "conv1/conv1", "bn1": f"conv1/norm{3 if deep else 1}", "fc": "head/fc"}[kind]
        case ["conv1"]:  # conv, norm, activation; conv, norm, activation; conv
            return f"conv1/{'conv' if int(kind) % 3 == 0 else 'norm'}{int(kind) // 3 + 1}"
        case ["maxpool"]:
            return f"conv2_x/{('conv1', 'norm1')[int(kind)]}"
    layer, block, *within = stage
    path = f"conv{int(layer.removeprefix('layer')) + 1}_x/{block}"
    match within:
        case ["downsample"]:  # an average or nothing, a convolution, a norm; or the latter two
            first = 1 if f"{'.'.join(stage)}.2" in modules else 0
            return f"{path}/shortcut/{('conv1', 'norm1')[int(kind) - first]}"
        case ["se"]:
            return f"{path}/main/attention/gate/{'conv' if kind == 'fc1' else 'conv2'}"
        case _:
            return f"{path}/main/{re.sub('^bn', 'norm', kind)}"


def timm_model(name: str) -> tuple[Any, Any]:
    """torch, and timm's network with random weights and random norms, for inference."""
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("timm") is None:
        pytest.skip("needs timm")
    torchvision_models()  # timm imports torchvision, which this makes possible
    import timm

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False)
    # Where timm begins with 0 as well. Small ones, as in a trained network: in float32 a deep one is chaotic otherwise,
    # timm's own output too. Means and variances are those of random images.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.1, 0.5)
            module.bias.data.normal_(0, 0.2)
            module.momentum = None
    with torch.no_grad():
        for _ in range(2):
            model.train()(torch.randn(8, 3, 64, 64))
    return torch, model.eval()
