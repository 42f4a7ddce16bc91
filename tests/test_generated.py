"""generated/ holds the text outputs of every bundled spec. Refresh:

resnetgen build $(resnetgen list --names) --target caffe --target ir --no-weights
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from resnetgen.build.options import Options, Target
from resnetgen.build.run import build
from resnetgen.manifest import MANIFEST
from resnetgen.spec.find import bundled
from resnetgen.zoo import INDEX, entries, index, markdown, measure
from support.helpers import Run

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "generated"
ZOO = ROOT / "docs" / "zoo.md"
ZOO_HEAD = """\
# The zoo

Every bundled spec, as `resnetgen list --markdown` prints it. MACs are those of convolutions and fully connected layers
for one image. Build one by its name: `resnetgen build torchvision/resnet50`.
"""
TEXTS = (".prototxt", ".ir.txt", ".preprocess.json")

# The authors' own files (KaimingHe/deep-residual-networks).
PUBLISHED = {  # SHA-256 of the prototxts in KaimingHe/deep-residual-networks
    "resnet50": "2f8fb64f68c6bcda94eb2640f80aed94efb91664122e72a6b7587012cc57dedc",
    "resnet101": "5df4375748076544e6cc4bfde7885e633312b5ed529d65cc2ff6573a819ea972",
}


def texts(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.name.endswith(TEXTS)
    }


def test_generated_is_current(tmp_path: Path) -> None:
    options = Options(targets=(Target.CAFFE, Target.IR), output_dir=tmp_path, weights=False)
    build(bundled(), options)
    new, old = texts(tmp_path), texts(GENERATED)
    assert sorted(new) == sorted(old)
    assert [name for name in new if new[name] != old[name]] == []


@pytest.mark.parametrize("name", PUBLISHED)
def test_prototxt_is_the_authors_own(name: str, tmp_path: Path) -> None:
    build([name], Options(targets=(Target.CAFFE,), output_dir=tmp_path, weights=False))
    text = (tmp_path / name / f"{name}.prototxt").read_bytes()
    assert sha256(text).hexdigest() == PUBLISHED[name]


def test_zoo_is_current(update_goldens: bool) -> None:
    """docs/zoo.md and the index of `resnetgen list`. Refresh: pytest tests/test_generated.py --update-goldens"""
    measured = list(map(measure, bundled()))
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
    assert list(entries(["resnet20_cifar"])) == [measure("resnet20_cifar")]


def grown(layers: list[str], stage: int, last: int, new: int) -> list[str]:
    """A prototxt's layers with the blocks b{last+1} to b{new} added to a stage, each a copy of b{last} by its text."""
    mine = [layer for layer in layers if f'name: "res{stage}b{last}' in layer or f"{stage}b{last}_branch" in layer]
    end = layers.index(mine[-1]) + 1
    added = [
        layer.replace(f"{stage}b{last}", f"{stage}b{number}").replace(
            f'"res{stage}b{last - 1}"', f'"res{stage}b{number - 1}"'
        )
        for number in range(last + 1, new + 1)
        for layer in mine
    ]
    after = [layer.replace(f'"res{stage}b{last}"', f'"res{stage}b{new}"') for layer in layers[end:]]
    return [*layers[:end], *added, *after]


def test_resnet152_is_resnet101_with_more_blocks() -> None:
    """Its reference is not at hand: it is put together here from the authors' 101, by text."""
    layers = (GENERATED / "resnet101" / "resnet101.prototxt").read_text().split("\n\n")
    layers[0] = layers[0].replace("ResNet-101", "ResNet-152")
    expected = grown(grown(layers, 3, 3, 7), 4, 22, 35)
    assert (GENERATED / "resnet152" / "resnet152.prototxt").read_text().split("\n\n") == expected


def test_a_build_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    files = []
    for run in ("a", "b"):
        options = Options(targets=(Target.ONNX, Target.CAFFE), output_dir=tmp_path / run, settings={"classes": 10})
        build(["resnet18"], options)
        files.append({p.name: sha256(p.read_bytes()).hexdigest() for p in (tmp_path / run / "resnet18").iterdir()})
    assert files[0] == files[1]
    assert set(files[0]) == {
        "resnet18.onnx",
        "resnet18.prototxt",
        "resnet18.preprocess.json",
        "resnet18.caffemodel",
        MANIFEST,
    }
