"""timm's 81 networks of models/resnet.py and torchvision's ten: figures, names and shapes of weights, and outputs.

tests/data/ holds what the libraries themselves say: trainable parameters, MACs of convolutions and fully connected
layers, and a digest of the weights' names and shapes. Refresh: pytest tests/zoo/test_libraries.py --update-goldens
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from resnetgen.errors import Failure
from resnetgen.expand import expand
from resnetgen.paths import SPECS
from resnetgen.spec.find import find_spec
from resnetgen.spec.load import load_file
from resnetgen.weights.names import load_name_map
from support import oracle
from support.helpers import bundled
from support.places import DATA

Row = dict[str, str]
Shapes = dict[str, tuple[int, ...]]

LIBRARIES = ("timm", "torchvision")  # timm 1.0.31, torchvision 0.28.0


def rows(library: str) -> dict[str, Row]:
    text = (DATA / f"{library}.csv").read_text(encoding="utf-8")
    return {f"{library}/{row['name']}": row for row in csv.DictReader(text.splitlines())}


NETWORKS = {network: row for library in LIBRARIES for network, row in rows(library).items()}
NAMES = {library: load_name_map(library) for library in LIBRARIES}
TOLERANCE = 1e-4

# Each with what only it or few have; the marker `zoo` has them all.
FAST = [
    "torchvision/resnet18",
    "torchvision/resnext50_32x4d",
    "timm/resnet10t",  # tiered stem; shortcuts that average
    "timm/resnet26",  # bottlenecks
    "timm/resnet50c",  # deep stem, projections
    "timm/resnet50_gn",  # GroupNorm
    "timm/resnetaa34d",  # averages in basic blocks and in the stem
    "timm/resnetblur18",  # blurs
    "timm/resnetrs50",  # a convolution for the max pooling; squeeze-and-excitation to a quarter
    "timm/seresnet18",  # squeeze-and-excitation in basic blocks
    "timm/seresnext26t_32x4d",  # groups
    "timm/ecaresnetlight",  # efficient channel attention
    "timm/ecaresnet50d_pruned",  # each block with widths of its own
    "timm/wide_resnet50_2",  # doubled inner widths
    "timm/test_resnet",  # both kinds of block
]

every_network = pytest.mark.parametrize("network", NETWORKS)


def library_of(network: str) -> str:
    return network.partition("/")[0]


def own_figures(network: str) -> Row:
    spec = load_file(find_spec(network))
    graph = expand(spec)
    return {
        "name": spec.stem,
        "input": str(spec.input),
        "parameters": str(graph.parameter_count),
        "macs": str(graph.mac_count),
        "weights": oracle.digest(oracle.own_shapes(graph, NAMES[library_of(network)])),
    }


@cache
def theirs(network: str) -> tuple[Row, Shapes]:
    """What a library says of its network; on the device `meta`, which computes shapes alone."""
    import torch

    with torch.device("meta"):
        model = oracle.model(network)
    image = getattr(model, "default_cfg", {"input_size": (3, 224, 224)})["input_size"]
    shapes = oracle.shapes(model)
    figures = {
        "name": network.partition("/")[2],
        "input": "x".join(map(str, image)),
        "parameters": str(sum(parameter.numel() for parameter in model.parameters())),
        "macs": str(oracle.macs(model, image)),
        "weights": oracle.digest(shapes),
    }
    return figures, shapes


def output_error(network: str, folder: Path) -> float:
    # 72 makes the averages of two shortcuts meet an odd size; those that anti-alias cannot take one.
    return oracle.folded_error(find_spec(network), network, 64 if "aa" in network else 72, folder)


def test_every_spec_has_figures() -> None:
    specs = [f"{library}/{path.stem}" for library in LIBRARIES for path in (SPECS / library).glob("*.yaml")]
    assert sorted(specs) == sorted(NETWORKS)
    assert [len(rows(library)) for library in LIBRARIES] == [81, 10]


@every_network
def test_figures(network: str) -> None:
    assert own_figures(network) == NETWORKS[network]


@pytest.mark.torch
@pytest.mark.parametrize("library", LIBRARIES)
def test_figures_are_the_libraries(library: str, update_goldens: bool) -> None:
    found = [theirs(network)[0] for network in rows(library)]
    if update_goldens:
        with (DATA / f"{library}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, found[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(found)
    assert found == list(rows(library).values())


@pytest.mark.torch
@every_network
def test_names_and_shapes_are_the_libraries(network: str) -> None:
    """What the digest says, one by one."""
    assert oracle.own_shapes(bundled(network), NAMES[library_of(network)]) == theirs(network)[1]


@pytest.mark.torch
@pytest.mark.parametrize("network", FAST)
def test_outputs(network: str, tmp_path: Path) -> None:
    assert output_error(network, tmp_path) < TOLERANCE


@pytest.mark.zoo
@pytest.mark.torch
@every_network
def test_network(network: str, tmp_path: Path) -> None:
    """Figures, names and shapes of weights, and outputs."""
    assert own_figures(network) == theirs(network)[0]
    assert output_error(network, tmp_path) < TOLERANCE


@pytest.mark.parametrize(
    ("network", "names"),
    [
        ("timm/resnet18d", "torchvision"),  # a deep stem, shortcuts that average
        ("timm/resnetrs50", "torchvision"),  # gates have no names there
        ("torchvision/resnet18", "msra"),
    ],
)
def test_another_map_gives_other_names(network: str, names: str) -> None:
    """Negative control of the digest."""
    try:
        found = oracle.digest(oracle.own_shapes(bundled(network), load_name_map(names)))
    except Failure:
        return
    assert found != NETWORKS[network]["weights"]


def test_another_width_gives_another_digest(tmp_path: Path) -> None:
    """Negative control: a pruned network whose attention has the kernels of the pruned widths."""
    text = "extends: timm/ecaresnet50d_pruned\nblocks: {attention: {params: {full: null}, body: eca()}}\n"
    (tmp_path / "net.yaml").write_text(text, encoding="utf-8")
    shapes = oracle.own_shapes(expand(load_file(tmp_path / "net.yaml")), NAMES["timm"])
    assert oracle.digest(shapes) != NETWORKS["timm/ecaresnet50d_pruned"]["weights"]
