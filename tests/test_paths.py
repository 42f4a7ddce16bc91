"""Links that lead to themselves, wherever a path is looked at: an error of the file system, never a bug."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from resnetgen.cli.exits import Exit
from resnetgen.paths import real_path
from support.helpers import Run
from support.places import syntax

PACKAGE = Path(__file__).parents[1] / "resnetgen"


def test_a_real_path(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "link").symlink_to("to")
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "link" / "file") == real_path(tmp_path) / "to" / "file"
    assert real_path(tmp_path / "loop" / "file").name == "file"


@pytest.mark.parametrize(
    "line",
    [
        "summary loop.yaml",
        "summary child.yaml",
        "summary user.yaml",
        "build tiny.yaml --output-dir loop",
        "build tiny.yaml --weights loop",
        "deploy tiny.yaml --server triton -o loop",
        "deploy tiny.yaml --server onnxruntime -o loop/a",
        "predict loop loop",
        "verify loop.onnx",
        "diff loop.prototxt tiny.yaml",
        "weights convert loop out.npz --spec tiny.yaml",
        "weights convert loop loop/out.npz --spec tiny.yaml",
    ],
)
def test_a_link_to_itself_is_an_error_of_the_file(line: str, run: Run, tmp_path: Path) -> None:
    for name in ("loop", "loop.yaml", "loop.onnx", "loop.prototxt"):
        (tmp_path / name).symlink_to(name)
    (tmp_path / "child.yaml").write_text("extends: loop.yaml\n")
    (tmp_path / "user.yaml").write_text("use: loop.yaml\ninput: 3x8x8\nstages: {head: gap}\n")
    result = run(*line.split())
    assert result.code == Exit.IO, result.err
    assert result.err.count("error[") == 1


def test_no_path_is_resolved_in_another_way() -> None:
    """But for the package's own, which is there."""
    found = [
        f"{path.name}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in syntax(path.read_text(encoding="utf-8"))
        if isinstance(node, ast.Attribute) and node.attr == "resolve"
    ]
    assert [place.partition(":")[0] for place in found] == ["paths.py"]
