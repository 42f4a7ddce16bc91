"""torchvision's ten residual networks: figures, names and shapes of weights, and what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.util import find_spec as find_module
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from helpers import bundled, error, graph, on_onnxruntime, on_opencv, write_caffe, write_onnx

from resnetgen.errors import Code, Failure
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Conv, Relu
from resnetgen.spec.find import find_spec
from resnetgen.weights.names import NameMap, load_name_map, weight_names
from resnetgen.weights.source import Array, Weights

NETWORKS = {
    # Trainable parameters and MACs at 3x224x224, and a digest of the weights' names and shapes: torchvision 0.28's own.
    "resnet18": (11689512, 1814073344, "bd0b28d3209a171d6d6ae5fc756c90a5534095af549ec5b22191a6516405db02"),
    "resnet34": (21797672, 3663761408, "3527dbbb4ac82262e62426aa94e555d38820559840f154c4b1454b6d8762b80d"),
    "resnet50": (25557032, 4089184256, "a506be68cf630f4c346efe59792dbb36525fa3213dba92d93dd29fe14a6f5c19"),
    "resnet101": (44549160, 7801405440, "b7894632184dafb1ec3b270160d577750bfef2f32dbe5954ce38fd9bd95724f9"),
    "resnet152": (60192808, 11513626624, "e13c31ea628f8ac7ff715f90749843aff254cc9135fb0a08f1c10ab86bb03bd1"),
    "resnext50_32x4d": (25028904, 4230479872, "bc48b1e31e512c7082868ab90f91b4a3e885c72d9aa8806cbe165d2b4b3e57d5"),
    "resnext101_32x8d": (88791336, 16414015488, "56f1d47945bd0229992f524cfc7609adb93544a1cb257b8a737f3f50d25884ee"),
    "resnext101_64x4d": (83455272, 15460270080, "3a4a20ded940df08850574bee2f32d65e98def7e4f5d7bd2c63016b9ecfed9a2"),
    "wide_resnet50_2": (68883240, 11398021120, "3ace44a0831eff03a2315e8fbebce41693895fef2225533d951f3f474c974b8e"),
    "wide_resnet101_2": (126886696, 22753050624, "8678655dd5ee143d5569ce5c5cc21c09b3ae304939abed1a59da9249831f3406"),
}
NAMES = load_name_map("torchvision")
TOLERANCE = 1e-4

every_network = pytest.mark.parametrize("network", NETWORKS)


def digest(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """SHA-256 of lines such as `conv1.weight 64x3x7x7`, sorted."""
    lines = sorted(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
    return sha256("\n".join(lines).encode()).hexdigest()


@every_network
def test_parameters_and_macs(network: str) -> None:
    net = bundled(f"torchvision/{network}")
    assert (net.parameter_count, net.mac_count) == NETWORKS[network][:2]


@every_network
def test_names_and_shapes_by_digest(network: str) -> None:
    assert digest(oracle.own_shapes(bundled(f"torchvision/{network}"), NAMES)) == NETWORKS[network][2]


def test_weight_names_are_one_to_one() -> None:
    net = bundled("torchvision/resnet50")
    names = weight_names(net, NAMES)
    assert list(names.values()) == [(node.name, p.name) for node in net.nodes for p in net.parameters(node)]
    assert names["layer2.0.downsample.1.running_var"] == ("conv3_x/0/shortcut/norm1", "variance")
    assert names["layer4.2.conv3.weight"] == ("conv5_x/2/main/conv3", "weight")


def problems(net: Graph, names: NameMap) -> list[str]:
    with pytest.raises(Failure) as caught:
        weight_names(net, names)
    assert {problem.code for problem in caught.value.problems} == {Code.NAME_MAP}
    return [problem.message for problem in caught.value.problems]


def test_what_a_map_of_weights_may_not_leave_open() -> None:
    """A node without weights needs no name; all others do, each its own."""
    net = graph((3, 8, 8), **{"conv1/conv1": (Conv((3, 3), 4, bias=True), "data"), "x": (Relu(), "conv1/conv1")})
    assert list(weight_names(net, NAMES)) == ["conv1.weight", "conv1.bias"]
    assert problems(net, load_name_map("msra")) == [
        "the name map has no name for the weight of conv1/conv1",
        "the name map has no name for the bias of conv1/conv1",
    ]
    tail = graph((3, 8, 8), tail=(Conv((3, 3), 4), "data"))
    assert problems(tail, NAMES) == ["the name map has no name for the weight of tail"]
    first, second = "conv2_x/0/main/conv1", "conv2_x/00/main/conv1"
    twice = graph((3, 8, 8), **{first: (Conv((3, 3), 4), "data"), second: (Conv((3, 3), 4), first)})
    assert problems(twice, NAMES) == [
        f"the name map calls both {first}'s weight and {second}'s weight layer1.0.conv1.weight"
    ]


# Against torchvision itself


def model_of(network: str) -> Any:
    """torchvision's model with random weights, which are the same in every run."""
    torch = pytest.importorskip("torch")
    if find_module("torchvision") is None:  # importorskip would import it, which a CPU torch alone does not survive
        pytest.skip("torchvision is not installed")
    torch.manual_seed(0)
    return getattr(oracle.torchvision_models(), network)()


def trained(network: str, *extents: int) -> tuple[Any, Array]:
    """The same with norms that are not the identity, and images of a size."""
    model = model_of(network)
    data = np.random.default_rng(1).standard_normal((2, *extents), dtype=np.float32)
    oracle.randomise_norms(model, data)
    return model, data


def folded_error(net: Graph, weights: Weights, data: Array, wanted: Array, folder: Path) -> float:
    """Of the folded model on ONNX Runtime."""
    path = write_onnx(net, weights, folder, fold=True).path
    found = on_onnxruntime(path, data)
    path.unlink()  # up to half a GB
    return error(found, wanted)


@pytest.mark.torch
@every_network
def test_names_and_shapes_are_torchvisions(network: str) -> None:
    shapes = oracle.shapes(model_of(network))
    assert oracle.own_shapes(bundled(f"torchvision/{network}"), NAMES) == shapes
    assert digest(shapes) == NETWORKS[network][2]


@pytest.mark.torch
@every_network
def test_outputs_are_torchvisions(network: str, tmp_path: Path) -> None:
    model, data = trained(network, 3, 64, 64)
    net = oracle.at(find_spec(f"torchvision/{network}"), 3, 64, 64)
    weights = oracle.stored(model, net, NAMES)
    assert folded_error(net, weights, data, oracle.run(model, data), tmp_path) < TOLERANCE


@pytest.mark.torch
@pytest.mark.parametrize(
    "patch",
    [
        "defaults: {bracket: {stride_on: first}}",  # v1
        'stages: {conv2_x: {pre: ["maxpool 3x3, /2, ceil"]}}',
        "defaults: {norm: batchnorm eps=0.001}",
    ],
)
def test_other_networks_of_the_same_weights_differ(patch: str, tmp_path: Path) -> None:
    """Negative controls: the same names and shapes, which only the output tells apart."""
    model, data = trained("resnet50", 3, 64, 64)
    (tmp_path / "net.yaml").write_text(f"extends: torchvision/resnet50\n{patch}\n", encoding="utf-8")
    net = oracle.at(tmp_path / "net.yaml", 3, 64, 64)
    assert oracle.own_shapes(net, NAMES) == oracle.shapes(model)
    weights = oracle.stored(model, net, NAMES)
    assert folded_error(net, weights, data, oracle.run(model, data), tmp_path) > 10 * TOLERANCE


@pytest.mark.torch
@pytest.mark.opencv
@pytest.mark.parametrize("network", ["resnet18", "resnet50", "resnext50_32x4d"])
@pytest.mark.parametrize("fold", [False, True])
def test_caffe_files_compute_the_same(network: str, fold: bool, tmp_path: Path) -> None:
    """At 65x65 the stem's pooling has one size, rounded up or down; elsewhere it needs a field OpenCV does not read."""
    pytest.importorskip("cv2")
    model, data = trained(network, 3, 65, 65)
    net = oracle.at(find_spec(f"torchvision/{network}"), 3, 65, 65)
    weights = oracle.stored(model, net, NAMES)
    files = write_caffe(net, weights, tmp_path, fold=fold, batch=len(data))
    assert "round_mode" not in files.plan.text
    assert error(on_opencv(files.prototxt, files.caffemodel, data), oracle.run(model, data)) < TOLERANCE
