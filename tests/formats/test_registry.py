"""A format from outside the package is registered, and known to the library, the command line and the zoo."""

from __future__ import annotations

from pathlib import Path

import pytest

import resnetgen as rg
from resnetgen.cli.exits import exit_code
from resnetgen.errors import Code, SpecError
from resnetgen.formats import registry
from resnetgen.formats.registry import Files, Request
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Gelu
from resnetgen.progress import Progress
from resnetgen.staging.files import Staging
from resnetgen.weights.names import NameMap
from resnetgen.zoo import markdown, measure
from support.helpers import TINY, Run, network


class ToyFiles(Files):
    def __init__(self, request: Request) -> None:
        self.request = request

    def plan(self) -> None:
        if any(isinstance(node.op, Gelu) for node in self.request.graph.nodes):
            raise SpecError.of(Code.UNSUPPORTED, "a toy has no gelu")

    def write(self, stage: Staging, progress: Progress) -> None:
        lines = [f"{node.name} {node.op.keyword}" for node in self.request.graph.nodes]
        stage.write_text(f"{self.request.stem}.toy", "\n".join(lines))


class Toy:
    name = "toy"
    title = "Toy"
    help = "a line for each node"
    dialects: tuple[str, ...] = ("plain", "fancy")
    is_model = True
    needs_weights = False

    def files(self, request: Request) -> Files:
        return ToyFiles(request)

    def check(self, graph: Graph, names: NameMap | None, dialect: str) -> None:
        if dialect == "fancy":
            raise SpecError.of(Code.UNSUPPORTED, "not fancy enough")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FORMATS", dict(registry._FORMATS))
    rg.register(Toy())


@pytest.mark.usefixtures("toy")
def test_the_library_builds_with_it(tmp_path: Path) -> None:
    net = rg.parse(TINY, name="tiny")
    built = rg.save(net, tmp_path, targets=["toy", "onnx"])
    assert sorted(path.name for path in built.files) == ["tiny.onnx", "tiny.toy"]
    assert len((tmp_path / "tiny.toy").read_text().splitlines()) == len(net.graph.nodes)


@pytest.mark.usefixtures("toy")
def test_the_command_line_builds_with_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    assert run("build", "tiny.yaml", "--target", "toy").code == 0
    assert Path("generated/tiny/tiny.toy").is_file()
    assert "toy" in run("build", "--help").out


@pytest.mark.usefixtures("toy")
def test_it_refuses_before_anything_is_written(tmp_path: Path) -> None:
    net = rg.parse(TINY.replace("softmax", "gelu"), name="tiny")
    with pytest.raises(rg.SpecError, match="a toy has no gelu"):
        rg.save(net, tmp_path, targets=["onnx", "toy"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("toy")
def test_the_zoo_has_a_column_for_it() -> None:
    entry = measure(network("resnet20_cifar"))
    assert entry.targets == ["onnx", "caffe", "toy"]
    assert entry.dialects == ["bvlc", "bvlc-1.0", "opencv", "plain"]
    assert "Caffe, Toy dialects" in markdown([entry])


def test_without_it_the_name_is_unknown(tmp_path: Path, run: Run) -> None:
    """Negative control."""
    with pytest.raises(rg.UsageError, match="no format is called 'toy'"):
        rg.save(rg.load("resnet18"), tmp_path, targets=["toy"])
    assert run("build", "resnet18", "--target", "toy").code == 2


def test_an_error_that_a_format_derives_has_the_exit_code_of_its_base() -> None:
    class NotFancy(rg.SpecError):
        pass

    assert exit_code(NotFancy.of(Code.UNSUPPORTED, "not fancy enough")) == 3
