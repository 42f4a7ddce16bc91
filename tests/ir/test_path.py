"""Paths of nodes: values whose text is the name of the node."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnetgen.ir.path import NodePath
from support.helpers import bundled
from support.places import syntax

PACKAGE = Path(__file__).parents[2] / "resnetgen"
PATHS = {
    "data": NodePath(None, unit="data"),
    "conv1/conv1": NodePath("conv1", unit="conv1"),
    "conv2_x/0/add": NodePath("conv2_x", 0, (), "add"),
    "conv3_x/0/main/conv2": NodePath("conv3_x", 0, ("main",), "conv2"),
    "conv3_x/11/main/attention/gate/conv2": NodePath("conv3_x", 11, ("main", "attention", "gate"), "conv2"),
    "s/block/main/0/conv1": NodePath("s", None, ("block", "main", "0"), "conv1"),
    "conv2_x/0/": NodePath("conv2_x", 0),
    "/a/b": NodePath("", None, ("a",), "b"),
    "s/01/a": NodePath("s", None, ("01",), "a"),
    "s/²/a": NodePath("s", None, ("²",), "a"),
    f"s/{'9' * 5000}/a": NodePath("s", None, ("9" * 5000,), "a"),
}


@pytest.mark.parametrize("text", PATHS)
def test_text(text: str) -> None:
    assert NodePath.parse(text) == PATHS[text]
    assert str(PATHS[text]) == text


@given(st.text(alphabet="a0149/_", max_size=12) | st.text(max_size=8))
def test_any_text_is_a_path(text: str) -> None:
    assert str(NodePath.parse(text)) == text


def test_places() -> None:
    stage = NodePath("conv2_x")
    main = stage.repetition(1).within("main")
    assert str(main.node("conv1")) == "conv2_x/1/main/conv1"
    assert str(main.repetition(0).node("conv1")) == "conv2_x/1/main/0/conv1"
    assert str(stage.within("block2").repetition(3).node("add")) == "conv2_x/block2/3/add"


@pytest.mark.parametrize("network", ["resnet50", "googlenet", "timm/seresnet50", "d2l_resnet18"])
def test_nodes_of_a_network(network: str) -> None:
    graph = bundled(network)
    assert [str(node.path) for node in graph.nodes] == [node.name for node in graph.nodes]
    assert [node.name for node in graph.nodes if node.path.stage is None] == ["data"]


def test_a_node_of_a_bottleneck() -> None:
    path = bundled("resnet50")["conv3_x/2/main/conv3"].path
    assert (path.stage, path.block, path.branch, path.unit) == ("conv3_x", 2, ("main",), "conv3")


def taken_apart(source: str) -> list[str]:
    """Calls that split a text at slashes."""
    calls = (node for node in syntax(source) if isinstance(node, ast.Call))
    methods = {"split", "rsplit", "partition", "rpartition"}
    return [
        ast.unparse(call)
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in methods
        if any(isinstance(argument, ast.Constant) and argument.value == "/" for argument in call.args)
    ]


def test_names_are_taken_apart_in_one_place() -> None:
    """Others split names of specs and files."""
    found = {path.relative_to(PACKAGE).as_posix(): calls for path in sorted(PACKAGE.rglob("*.py"))
             if (calls := taken_apart(path.read_text(encoding="utf-8")))}  # fmt: skip
    assert found.pop("ir/path.py") == ["text.split('/')"]
    assert found.pop("spec/find.py") == ["name.split('/')"]
    assert found.keys() <= {"spec/table.py", "errors.py", "pretrained/pretrained.py"}
    assert all("spec.name" in call or "self" in call for calls in found.values() for call in calls), found


def test_a_name_that_is_taken_apart_is_noticed() -> None:
    assert taken_apart("stage = node.name.partition('/')[0]") == ["node.name.partition('/')"]
