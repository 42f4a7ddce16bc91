"""docs/zoo.md and the index of `resnetgen list`. Refresh both: pytest tests/zoo/test_zoo.py --update-goldens"""

from __future__ import annotations

from pathlib import Path

import pytest

from resnetgen.spec.find import bundled
from resnetgen.zoo import INDEX, entries, index, markdown, measure
from support.helpers import Run, network
from support.places import ROOT

ZOO = ROOT / "docs" / "zoo.md"
ZOO_HEAD = """\
# The zoo

Every bundled spec, as `resnetgen list --markdown` prints it. MACs are those of convolutions and fully connected layers
for one image. Build one by its name: `resnetgen build torchvision/resnet50`.
"""


def test_zoo_is_current(update_goldens: bool) -> None:
    measured = [measure(network(name)) for name in bundled()]
    texts = {ZOO: f"{ZOO_HEAD}\n{markdown(measured)}", INDEX: index(measured)}
    for path, text in texts.items():
        if update_goldens:
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.read_text(encoding="utf-8") == text, path.name


def test_list_takes_its_figures_from_the_index(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetgen.network.compile_spec", None)
    result = run("list")
    assert (result.code, result.err) == (0, "")
    assert len(result.out.splitlines()) == len(bundled())
    (line,) = [line for line in result.out.splitlines() if line.startswith("torchvision/resnet50 ")]
    assert " ".join(line.split()) == "torchvision/resnet50 3x224x224 25,557,032 parameters 4.089 GMACs onnx, caffe"
    assert result.out.startswith(run("list", "d2l_*").out.split("  ")[0])


def test_a_spec_that_the_index_lacks_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo.json").write_text("[]")
    monkeypatch.setattr("resnetgen.zoo.INDEX", tmp_path / "zoo.json")
    assert list(entries(["resnet20_cifar"])) == [measure(network("resnet20_cifar"))]
