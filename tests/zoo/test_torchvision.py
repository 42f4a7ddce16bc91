"""What is torchvision's alone: the map of its names, and the networks that differ from its own in the output only."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.errors import Code, Failure
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Conv, Relu
from resnetgen.spec.find import find_spec
from resnetgen.weights.names import NameMap, load_name_map, weight_names
from support import oracle
from support.helpers import bundled, error, graph, on_opencv, write_caffe

NAMES = load_name_map("torchvision")
TOLERANCE = 1e-4


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
    (tmp_path / "net.yaml").write_text(f"extends: torchvision/resnet50\n{patch}\n", encoding="utf-8")
    assert oracle.folded_error(tmp_path / "net.yaml", "torchvision/resnet50", 64, tmp_path) > 10 * TOLERANCE


@pytest.mark.torch
@pytest.mark.opencv
@pytest.mark.parametrize("network", ["resnet18", "resnet50", "resnext50_32x4d"])
@pytest.mark.parametrize("fold", [False, True])
def test_caffe_files_compute_the_same(network: str, fold: bool, tmp_path: Path) -> None:
    """At 65x65 the stem's pooling has one size, rounded up or down; elsewhere it needs a field OpenCV does not read."""
    model, data = oracle.trained(f"torchvision/{network}", 3, 65, 65)
    net = oracle.at(find_spec(f"torchvision/{network}"), 3, 65, 65)
    weights = oracle.stored(model, net, NAMES)
    files = write_caffe(net, weights, tmp_path, fold=fold, batch=len(data))
    assert "round_mode" not in files.plan.text
    assert error(on_opencv(files.prototxt, files.caffemodel, data), oracle.run(model, data)) < TOLERANCE
