"""Odd values that the library is given; its own values are copied, pickled and hashed as Python does with all."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import resnetgen as rg
from resnetgen.formats import registry
from support.helpers import TINY


@pytest.fixture(scope="module")
def net() -> rg.Network:
    return rg.parse(TINY, name="tiny")


@pytest.fixture(scope="module")
def weights(net: rg.Network) -> rg.Weights:
    return rg.Weights.random(net, seed=3, init="random-stats")


WRONG: dict[str, tuple[Callable[[rg.Network, Path], object], str]] = {
    "None for a path": (lambda net, out: rg.load(None), "spec: a path is needed, not None"),
    "a NUL in a path": (lambda net, out: rg.save(net, "a\0b"), "output_dir: no path can have the character NUL"),
    "an empty input size": (lambda net, out: rg.diff(net, "net.prototxt", input_size=""), "--input is for a spec"),
    "a list of parameters": (
        lambda net, out: rg.diff("resnet18", net, params=[3]),
        "params: a dictionary with texts as keys",
    ),
    "a number for the name of a parameter": (
        lambda net, out: rg.diff(net, "resnet18", params={3: 3}),
        "params: a dictionary with texts as keys",
    ),
    "an empty dialect": (lambda net, out: rg.diff(net, "resnet18", dialect=""), "--dialect: '' is not one of"),
    "a number for a pattern": (lambda net, out: rg.zoo.matching(5), "pattern: a text is needed"),
    "a list for a node": (lambda net, out: rg.Weights.random(net).tensor([], "weight"), "node: a text is needed"),
    "a list for a parameter": (
        lambda net, out: rg.Weights.random(net).tensor("conv1/conv1", []),
        "parameter: a text is needed",
    ),
    "a number for a flag of weights": (
        lambda net, out: rg.Weights.load("w.pth", net, allow_nonfinite=1),
        "allow_nonfinite: True or False is needed",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_values_that_python_takes_for_others_are_refused(case: str, net: rg.Network, tmp_path: Path) -> None:
    call, text = WRONG[case]
    with pytest.raises(rg.UsageError) as caught:
        call(net, tmp_path)
    assert text in str(caught.value)
    assert list(tmp_path.iterdir()) == []


GOOD: dict[str, Any] = {
    "name": "odd",
    "title": "Odd",
    "help": "nothing",
    "dialects": (),
    "is_model": False,
    "needs_weights": False,
    "files": lambda request: None,
    "check": lambda graph, names, dialect: None,
}


@pytest.mark.parametrize(
    ("attribute", "value"), [*dict.fromkeys(GOOD, 3).items(), ("name", ""), ("dialects", "opencv")]
)
def test_a_format_whose_attribute_has_a_wrong_type_is_refused(attribute: str, value: object) -> None:
    with pytest.raises(rg.UsageError, match=f"{attribute}: "):
        rg.register(SimpleNamespace(**GOOD | {attribute: value}))
    assert "odd" not in registry.names()


@pytest.mark.parametrize("name", ["a\0b", "net/", "a/./b", "a/../b", "/net", "", "x" * 300], ids=repr)
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(rg.SpecError, match="a spec cannot be called"):
        rg.parse(TINY, name=name)


def test_an_empty_input_size_is_not_the_specs_own() -> None:
    with pytest.raises(rg.SpecError, match="--input"):
        rg.load("resnet18", input_size="")


def test_a_folder_whose_name_is_too_long(net: rg.Network, tmp_path: Path) -> None:
    with pytest.raises(rg.FileError, match="File name too long"):
        rg.save(net, tmp_path / ("x" * 300))


def test_a_working_folder_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert rg.load("resnet18") == rg.load("resnet18")
    assert rg.parse(TINY).spec.name == "network"
    with pytest.raises(rg.FileError, match="no such file"):
        rg.load("mine.yaml")


def test_numbers_of_numpy_are_taken_as_those_of_python(net: rg.Network) -> None:
    """The digest of a network and the metadata of a model have the texts of its parameters."""
    assert rg.load("resnet18", classes=np.int32(10)).digest == rg.load("resnet18", classes=10).digest
    half = "use: std\ninput: 3x32x32\nparams: {p: 0.5}\nstages:\n  head: gap | dropout $p | fc 10\n"
    assert rg.parse(half, p=np.float64(0.25)).digest == rg.parse(half, p=0.25).digest
    weights = rg.Weights.random(net, seed=np.int64(3))
    assert weights.origin == rg.Weights.random(net, seed=3).origin
    assert net.to_onnx(weights, batch=np.int64(2)) == net.to_onnx(weights, batch=2)


def test_a_node_that_does_not_exist_is_a_key_error(net: rg.Network) -> None:
    with pytest.raises(KeyError, match="has no node 3"):
        net.graph[3]  # type: ignore[index]


def _same(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def test_public_values_can_be_copied_and_sent_to_other_processes(
    net: rg.Network, weights: rg.Weights, tmp_path: Path
) -> None:
    built = rg.save(net, tmp_path, targets=["onnx", "caffe"], weights=weights)
    report, difference = rg.verify(tmp_path / "tiny.onnx", net, weights=weights), rg.diff(net, "resnet18")
    for value in (net, net.graph, net.spec, net.summary(), built, report, difference):
        assert _same(value) == value == copy.deepcopy(value)
    assert {net, _same(net)} == {net}
    loaded = rg.Weights.load(tmp_path / "tiny.caffemodel", net)
    for one in (weights, loaded):
        again = _same(one)
        assert repr(again) == repr(one)
        assert (again.tensor("conv1/conv1", "weight") == weights.tensor("conv1/conv1", "weight")).all()
        assert again.late_origin() == one.late_origin()
        assert net.to_onnx(again) == net.to_onnx(one)


def test_errors_cross_processes() -> None:
    with pytest.raises(rg.SpecError) as caught:
        rg.parse("use: std\ninput: 3x32x32\nstages: {head: gop | fc 10}")
    for again in (_same(caught.value), copy.copy(caught.value), copy.deepcopy(caught.value)):
        assert type(again) is rg.SpecError
        assert again.problems == caught.value.problems
        assert str(again) == str(caught.value)
