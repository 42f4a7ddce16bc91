"""docs/zoo.md and the index of `resnetgen list`. Refresh both: pytest tests/zoo/test_zoo.py --update-goldens"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from resnetgen.spec.find import bundled
from resnetgen.zoo import INDEX, ZooEntry, entries, index, markdown, measure
from support.helpers import Run, network
from support.places import ROOT

ZOO = ROOT / "docs" / "zoo.md"
ZOO_HEAD = """\
# The zoo

The bundled specs, as `resnetgen list --markdown` prints them. Each is built by its name, such as
`resnetgen build torchvision/resnet50`. MACs are those of convolutions and fully connected layers, for one image. The
targets are the formats that can express the network; the dialects are the readers of Caffe files that can load it.
"""


TRIED = ("darknet53", "googlenet", "resnet20_cifar", "resnet50_gn", "timm/ecaresnet26t", "timm/resnetblur18")
"""Specs that the default run tries in every format and dialect; `pytest -m zoo` tries the others."""


def known() -> dict[str, ZooEntry]:
    return {entry.name: entry for entry in entries(bundled())}


def test_the_index_is_current(update_goldens: bool) -> None:
    if update_goldens:
        INDEX.write_text(index(measure(network(name)) for name in bundled()), encoding="utf-8", newline="\n")
    assert INDEX.read_text(encoding="utf-8") == index(known().values())
    for name, entry in known().items():
        spec, graph = network(name).spec, network(name).graph
        figures = (str(spec.input), graph.parameter_count, graph.mac_count)
        assert (entry.input, entry.parameters, entry.macs) == figures, name


def test_the_page_is_current(update_goldens: bool) -> None:
    text = f"{ZOO_HEAD}\n{markdown(known().values())}"
    if update_goldens:
        ZOO.write_text(text, encoding="utf-8", newline="\n")
    assert ZOO.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in TRIED else pytest.mark.zoo) for name in bundled()]
)
def test_formats_and_dialects_are_current(name: str) -> None:
    assert measure(network(name)) == known()[name]


def test_every_op_of_the_bundled_networks_is_tried() -> None:
    def ops(names: Iterable[str]) -> set[type]:
        return {type(node.op) for name in names for node in network(name).graph.nodes}

    assert ops(TRIED) == ops(bundled())


def test_list_takes_its_figures_from_the_index(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetgen.network.compile_spec", None)
    result = run("list")
    assert (result.code, result.err) == (0, "")
    head, _, *lines = result.out.splitlines()
    assert head.split() == ["spec", "input", "parameters", "GMACs", "targets"]
    assert [line.split()[0] for line in lines] == bundled()
    assert ["torchvision/resnet50", "3x224x224", "25,557,032", "4.089", "onnx,", "caffe"] in map(str.split, lines)
    assert run("list", "d2l_*").out.splitlines()[2].split() == lines[0].split()


def test_a_spec_that_the_index_lacks_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo.json").write_text("[]")
    monkeypatch.setattr("resnetgen.zoo.INDEX", tmp_path / "zoo.json")
    assert list(entries(["resnet20_cifar"])) == [measure(network("resnet20_cifar"))]
