"""generated/ has the text outputs of a dozen bundled specs, and the digest of every text output of all of them.

Refresh both: pytest tests/test_generated.py --update-goldens
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.formats.caffe import write
from resnetgen.ir.text import dump
from resnetgen.manifest import MANIFEST
from resnetgen.spec.find import bundled
from support.helpers import network

ROOT = Path(__file__).parents[1]
GENERATED = ROOT / "generated"
DIGESTS = GENERATED / "digests.txt"
"""SHA-256 and path of every text, as sha256sum writes and checks them."""

WHOLE = (
    "googlenet",
    "preact_resnet164",
    "resnet101",
    "resnet18",
    "resnet20_cifar",
    "resnet50",
    "resnext29_8x64d",
    "timm/ecaresnet26t",
    "timm/resnet18d",
    "timm/resnetblur18",
    "timm/seresnet18",
    "vgg19",
)
"""Specs whose texts are kept whole, for people to read."""

TEXTS = (".prototxt", ".ir.txt", ".preprocess.json")

# The authors' own files (KaimingHe/deep-residual-networks).
PUBLISHED = {  # SHA-256 of the prototxts in KaimingHe/deep-residual-networks
    "resnet50": "2f8fb64f68c6bcda94eb2640f80aed94efb91664122e72a6b7587012cc57dedc",
    "resnet101": "5df4375748076544e6cc4bfde7885e633312b5ed529d65cc2ff6573a819ea972",
}

HELP = """\
To see the difference from the commit that last changed the digests:
  rm -rf /tmp/old /tmp/new && mkdir /tmp/old
  git archive $(git log -1 --format=%H -- generated/digests.txt) | tar x -C /tmp/old
  (cd /tmp/old && python -m resnetgen.cli build {spec} --target caffe --target ir --no-weights)
  resnetgen build {spec} --target caffe --target ir --no-weights --output-dir /tmp/new
  diff -ru /tmp/old/generated/{spec} /tmp/new/{spec}
If it is intended: pytest tests/test_generated.py --update-goldens"""


def texts(name: str) -> dict[str, str]:
    """Return the texts that `build` writes for a bundled spec, by path below its output folder."""
    net = network(name)
    found = {
        "ir.txt": dump(net.graph),
        "preprocess.json": f"{net.spec.preprocess.to_json()}\n" if net.spec.preprocess else "",
        "prototxt": write.plan(net.graph, net.names, None, with_weights=False).text,
    }
    return {f"{name}/{net.spec.stem}.{ending}": text for ending, text in found.items() if text}


def lines(texts: dict[str, bytes]) -> list[str]:
    """Return the digests of texts, sorted by path."""
    return [f"{sha256(text).hexdigest()}  {path}" for path, text in sorted(texts.items())]


def assert_digests(new: Iterable[str], old: Iterable[str]) -> None:
    """Compare lines of digests; the error names the specs and outputs that differ, and the command that shows how."""
    paths = sorted({line.partition("  ")[2] for line in set(new) ^ set(old)})
    if paths:
        differing = "".join(f"  {path.rpartition('/')[0]}: {path}\n" for path in paths)
        pytest.fail(
            f"texts differ from generated/digests.txt:\n{differing}{HELP.format(spec=paths[0].rpartition('/')[0])}"
        )


def built(names: Iterable[str], folder: Path) -> dict[str, bytes]:
    """Build specs without weights, which reads every file back, and return the texts by path."""
    build(list(names), Options(targets=("caffe", "ir"), output_dir=folder, weights=False))
    paths = (path for path in folder.rglob("*") if path.name.endswith(TEXTS))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_digests_are_current(update_goldens: bool) -> None:
    new = lines({path: text.encode() for name in bundled() for path, text in texts(name).items()})
    if update_goldens:
        DIGESTS.write_text("".join(f"{line}\n" for line in new), encoding="utf-8", newline="\n")
    assert_digests(new, DIGESTS.read_text(encoding="utf-8").splitlines())


def test_whole_texts_are_current(tmp_path: Path, update_goldens: bool) -> None:
    new = built(WHOLE, tmp_path)
    for path, text in new.items():
        if update_goldens:
            (GENERATED / path).parent.mkdir(parents=True, exist_ok=True)
            (GENERATED / path).write_bytes(text)
        assert (GENERATED / path).read_bytes() == text, HELP.format(spec=Path(path).parent)
    assert {Path(path).parent.as_posix() for path in new} == set(WHOLE)
    assert set(lines(new)) <= set(DIGESTS.read_text(encoding="utf-8").splitlines())


def test_git_ignores_all_texts_but_those_that_are_kept() -> None:
    rules = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert [rule for rule in rules if rule.startswith("!generated/") and rule.endswith("/*")] == [
        f"!generated/{name}/*" for name in WHOLE
    ]


@pytest.mark.zoo
def test_every_bundled_spec_builds_the_texts_of_the_digests(tmp_path: Path) -> None:
    assert_digests(lines(built(bundled(), tmp_path)), DIGESTS.read_text(encoding="utf-8").splitlines())


def test_a_differing_digest_names_the_spec_and_the_output_and_how_to_see_it() -> None:
    old = DIGESTS.read_text(encoding="utf-8").splitlines()
    changed = [line if "/seresnet18.prototxt" not in line else f"{'0' * 64}{line[64:]}" for line in old]
    with pytest.raises(pytest.fail.Exception) as failure:
        assert_digests(changed, old)
    assert "  timm/seresnet18: timm/seresnet18/seresnet18.prototxt\n" in str(failure.value)
    assert "diff -ru /tmp/old/generated/timm/seresnet18 /tmp/new/timm/seresnet18\n" in str(failure.value)
    with pytest.raises(pytest.fail.Exception, match=old[-1].partition("  ")[2]):
        assert_digests(old[:-1], old)


@pytest.mark.parametrize("name", PUBLISHED)
def test_prototxt_is_the_authors_own(name: str) -> None:
    text = texts(name)[f"{name}/{name}.prototxt"]
    assert sha256(text.encode()).hexdigest() == PUBLISHED[name]


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
    layers = texts("resnet101")["resnet101/resnet101.prototxt"].split("\n\n")
    layers[0] = layers[0].replace("ResNet-101", "ResNet-152")
    expected = grown(grown(layers, 3, 3, 7), 4, 22, 35)
    assert texts("resnet152")["resnet152/resnet152.prototxt"].split("\n\n") == expected


def test_a_build_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    files = []
    for run in ("a", "b"):
        options = Options(targets=("onnx", "caffe"), output_dir=tmp_path / run, params={"classes": 10})
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
