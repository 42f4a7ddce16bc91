"""verify with the Caffe files on OpenCV: what runs, what is found, and the networks that agree at full size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.verification import Report, Settings
from resnetgen.verification.verify import Verified, verify_files
from resnetgen.weights.initialise import Init

pytestmark = pytest.mark.opencv

SMALL = """\
use: std
input: 3x18x18
params: {classes: 10}
stages:
  conv1:   18x18 | 3x3, 8 | relu6
  conv2_x: 9x9   | maxpool 3x3, /2, p=1 | [1x1, 8; 3x3, 8; 1x1, 16] x2
  head:    1x1   | gap | fc $classes | softmax
"""
BOTH = Options(targets=("onnx", "caffe"), init=Init.RANDOM_STATS)
PROTOTXT, CAFFEMODEL = Path("generated/small/small.prototxt"), Path("generated/small/small.caffemodel")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: it holds small.yaml and what was built from it in BVLC's dialect."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    build(["small.yaml"], BOTH)
    return tmp_path


def check(*on: str, word: str = "small.yaml", against: str | None = None, settings: Settings | None = None) -> Report:
    return verify_files(Verified(word, on, against), settings or Settings())


def refused(*on: str, word: str = "small.yaml") -> Failure:
    with pytest.raises(Failure) as caught:
        check(*on, word=word)
    return caught.value


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def notes(report: Report) -> tuple[str, ...]:
    return next(backend.notes for backend in report.backends if backend.engine.startswith("OpenCV"))


def test_both_formats_of_a_spec(folder: Path) -> None:
    """`round_mode` and Clip are words that OpenCV does not know; the caffemodel is the one that was built."""
    assert "round_mode: FLOOR" in PROTOTXT.read_text()
    report = check("onnxruntime:cpu", "opencv")
    assert report.passed
    assert notes(report) == ("written anew in OpenCV's dialect",)
    (one,) = report.comparisons
    names = [layer.name for layer in one.layers]
    assert names[:3] == ["conv1/relu6", "conv2_x/maxpool", "conv2_x/0/main/act1"]
    assert names[-2:] == ["head/fc", "head/softmax"]
    assert {layer.place for layer in one.layers} == {"small.yaml:5", "small.yaml:6", "small.yaml:7"}


@pytest.mark.parametrize("dialect", Dialect)
def test_files_of_every_dialect(folder: Path, dialect: Dialect) -> None:
    build(["small.yaml"], replace(BOTH, dialect=dialect))
    report = check("opencv", "onnxruntime", "reference", settings=Settings(batches=(3,)))
    assert report.passed
    assert bool(notes(report)) == (dialect is not Dialect.OPENCV)


@pytest.mark.parametrize(
    ("old", "new", "layer"),
    [
        ("kernel_size: 3\n\t\tpad: 1\n\t\tstride: 1", "kernel_size: 3\n\t\tpad: 1\n\t\tdilation: 1", None),
        ("max: 6.0", "max: 5.0", None),
        ("pool: AVE", "pool: MAX", "head/gap"),
    ],
)
def test_a_prototxt_that_was_changed_is_not_written_anew(folder: Path, old: str, new: str, layer: str | None) -> None:
    """It runs as it stands: OpenCV refuses it, or the change shows."""
    build(["small.yaml"], replace(BOTH, dialect=Dialect.OPENCV if layer else Dialect.BVLC))
    rewrite(PROTOTXT, old, new)
    if layer is None:
        failure = refused("onnxruntime", "opencv")
        assert (exit_code(failure), failure.problems[0].hint) == (
            Exit.MODEL,
            "OpenCV reads what `resnetgen build --target caffe --dialect opencv` writes",
        )
        return
    report = check("onnxruntime", "opencv")
    assert notes(report) == ()
    assert report.first_difference
    assert report.first_difference.name == layer


def test_layers_that_were_added_by_hand_are_counted(folder: Path) -> None:
    """The report counts those of the file that ran, not those of a build."""
    build(["small.yaml"], replace(BOTH, dialect=Dialect.OPENCV))
    layers = PROTOTXT.read_text().count("layer {")
    reader = 'layer {\n\tbottom: "head/gap"\n'
    more = 'layer {\n\tbottom: "head/gap"\n\ttop: "head/gap"\n\tname: "more"\n\ttype: "ReLU"\n}\n\n'
    for count in (layers, layers + 1):
        (backend,) = (
            backend for backend in check("onnxruntime", "opencv").backends if backend.engine.startswith("OpenCV")
        )
        assert f"({count} layers)" in backend.ran_on
        rewrite(PROTOTXT, reader, more + reader)


def test_paths_of_caffe_files(folder: Path) -> None:
    """Beside each other, apart, or alone; a bundled spec is found by the manifest."""
    build(["resnet20_cifar"], BOTH)
    path = "generated/resnet20_cifar/resnet20_cifar.prototxt"
    assert check(word=path).backends[0].file == "spec CIFAR ResNet-20, unfolded, by the formulas of its ops"
    moved = folder / "elsewhere.caffemodel"
    Path(path).with_suffix(".caffemodel").rename(moved)
    failure = refused("onnxruntime", path, word="resnet20_cifar")
    assert "no such file: generated/resnet20_cifar/resnet20_cifar.caffemodel" in str(failure)
    report = check("onnxruntime", f"{path}:{moved}", word="resnet20_cifar")
    assert report.passed
    assert len(report.comparisons[0].layers) > 20


def test_inputs_of_a_concat_are_not_compared(folder: Path) -> None:
    """OpenCV writes them into the output of the Concat, and would return random memory for them."""
    blocks = "blocks: {both: {branches: {a: '1x1, 4', b: '3x3, 4'}, merge: concat}}\n"
    (folder / "small.yaml").write_text(blocks + SMALL.replace("[1x1, 8; 3x3, 8; 1x1, 16] x2", "both()"))
    build(["small.yaml"], replace(BOTH, dialect=Dialect.OPENCV))
    report = check("onnxruntime", "opencv")
    assert report.passed
    names = [layer.name for layer in report.comparisons[0].layers]
    assert names == ["conv1/relu6", "conv2_x/maxpool", "conv2_x/0/concat", "head/gap", "head/fc", "head/softmax"]


def test_a_foreign_net_has_its_own_names_and_lines(folder: Path) -> None:
    """Without a manifest nothing is known of it but what it says."""
    build(["small.yaml"], replace(BOTH, dialect=Dialect.OPENCV))
    for name, path in (("a", PROTOTXT), ("b", PROTOTXT), ("a", CAFFEMODEL), ("b", CAFFEMODEL)):
        (folder / f"{name}{path.suffix}").write_bytes(path.read_bytes())
    rewrite(folder / "b.prototxt", "pool: AVE", "pool: MAX")
    report = check("a.prototxt", "b.prototxt", word="a.prototxt")
    first = report.first_difference
    assert first
    before, _, _ = Path("b.prototxt").read_text().partition('name: "head/gap"')
    line = before[: before.rindex("layer {")].count("\n") + 1
    assert (first.name, first.place) == ("head/gap", f"b.prototxt:{line}")
    assert "the spec of a.prototxt is not known" in str(refused(word="a.prototxt"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda: CAFFEMODEL.write_bytes(CAFFEMODEL.read_bytes()[:-100]), "OpenCV refuses the net: "),
        (lambda: CAFFEMODEL.write_bytes(b""), "OpenCV refuses the net: "),
        (CAFFEMODEL.unlink, "generated/small/small.caffemodel has not been built"),
        (PROTOTXT.unlink, "hint: resnetgen build small.yaml --output-dir generated --target caffe"),
        (lambda: PROTOTXT.write_bytes(b"\0"), "is a binary file, not a prototxt"),
        (lambda: rewrite(PROTOTXT, "layer {", "layer {\n\tcolour: 1"), "unknown field: colour"),
        (lambda: rewrite(PROTOTXT, "input_dim: 18", ""), "input_dim is given 3 times; each of 1 inputs takes four"),
        (lambda: rewrite(PROTOTXT, "num_output: 8", "num_output: 9"), "OpenCV refuses the net: "),
    ],
)
def test_broken_files(folder: Path, spoil: Callable[[], object], message: str) -> None:
    spoil()
    assert message in str(refused("onnxruntime", "opencv"))


def test_files_of_another_state_of_the_spec(folder: Path) -> None:
    """Only those that are looked at count; and weights of another seed are other weights."""
    build(["small.yaml"], replace(BOTH, seed=1, targets=("onnx",)))
    report = check("onnxruntime", "opencv")
    assert report.first_difference
    assert report.first_difference.name == "conv1/relu6"
    assert check("opencv").passed
    assert check("onnxruntime").passed
    (folder / "small.yaml").write_text(SMALL.replace("fc $classes", "fc 11"))
    build(["small.yaml"], replace(BOTH, targets=("onnx",)))
    assert check("onnxruntime").passed
    failure = refused("onnxruntime", "opencv")
    assert exit_code(failure) is Exit.VERIFICATION
    assert "small.prototxt was built from another state of the spec" in str(failure)


def test_settings_of_the_build_are_known(folder: Path) -> None:
    build(["small.yaml"], replace(BOTH, params={"classes": 7}, input_size="3x20x20"))
    assert check("onnxruntime", "opencv").passed


FULL_SIZE = [
    *("resnet18", "resnet50", "resnet101", "resnet152", "torchvision/resnet34", "timm/resnet50d", "timm/seresnet50"),
    *("timm/ecaresnet50d", "timm/resnetblur50", "vgg19_bn", "darknet53", "googlenet", "plain34", "resnext50_32x4d"),
    *("resnet50_gn", "resnext29_8x64d", "resnet110_cifar", "preact_resnet164"),
]


@pytest.mark.zoo
@pytest.mark.parametrize("name", FULL_SIZE)
def test_both_formats_at_full_size(name: str, tmp_path: Path) -> None:
    """At most 1e-4 of each tensor's largest value, and the same first class for 32 images."""
    build([name], replace(BOTH, output_dir=tmp_path))
    compared = Verified(name, ("onnxruntime", "opencv"), output_dir=tmp_path)
    report = verify_files(compared, Settings(inputs=32, batches=(8,)))
    for path in tmp_path.rglob("*.*"):
        path.unlink()
    assert report.passed, report.failure()
    assert report.tolerance == 1e-4
    agreement = report.comparisons[0].agreement
    assert agreement
    assert (agreement.images, agreement.top1) == (32, 32)
