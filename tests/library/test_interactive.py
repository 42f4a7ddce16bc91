"""What help(), an editor and a REPL show of the library."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import pytest

import resnetgen as rg
from resnetgen.build.options import BUILD_ARGUMENTS, SAVE_OPTIONS
from resnetgen.formats.format_options import FormatOptions
from resnetgen.verification import Settings

NOT_SAVED = {
    "weights",
    "init",
    "seed",
    "checkpoint",
    "reinit",
    "allow_nonfinite",
    "params",
    "input_size",
    "max_nodes",
}
"""Options of a build that choose the network or its weights: `save` takes both as objects."""


def test_the_example_of_the_package_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = "\n".join(line for line in (rg.__doc__ or "").splitlines() if line.startswith("    "))
    values: dict[str, Any] = {}
    exec(dedent(example).replace("resnet50", "resnet20_cifar"), values)
    assert values["built"].files


def test_a_repr_is_one_short_line(net: rg.Network) -> None:
    assert repr(net) == "<Network tiny: input 3x32x32, classes=10, 23 nodes, 8,754 parameters, 2,318,496 MACs>"
    assert "\n" not in repr(net)
    assert len(repr(rg.load("resnet152"))) < 120


def test_the_repr_of_each_result_is_one_line(net: rg.Network, weights: rg.Weights, tmp_path: Path) -> None:
    built = rg.save(net, tmp_path, targets=["onnx", "caffe"], weights=weights, verify=True)
    prefix = "".join(f"{tmp_path}/tiny.{end}, " for end in ("prototxt", "caffemodel"))
    assert repr(built) == f"<Built tiny: {prefix}{tmp_path}/tiny.onnx; equal>"
    assert built.report
    assert repr(built.report) == "<Report tiny.onnx: equal, 1 comparison>"
    (comparison,) = built.report.comparisons
    tensors = len(comparison.layers)
    assert repr(comparison) == f"<Comparison onnxruntime:cpu with reference, batch 1: equal, {tensors} tensors>"
    assert repr(weights) == "<Weights of tiny: init=random-stats, seed=3>"
    assert repr(net.summary()) == "<Summary tiny: 3 stages, 8,754 parameters, 2,318,496 MACs>"
    assert repr(net.spec) == "<Spec tiny: input 3x32x32, classes=10, 3 stages>"
    assert repr(net.graph) == "<Graph tiny: 23 nodes, data -> head/softmax>"


def test_the_repr_of_a_difference_counts_what_differs() -> None:
    same = rg.diff("resnet18", "resnet18")
    assert repr(same) == "<Difference resnet18 and resnet18: 89 layers equal>"
    difference = rg.diff("resnet18", "resnet34")
    assert repr(difference) == f"<Difference resnet18 and resnet34: {difference.render().splitlines()[-1]}>"
    parts = (*difference.net, *difference.layers, *difference.only_b)
    assert max(len(repr(part)) for part in parts) < 120


def test_names_of_other_files_are_escaped_in_a_repr(tmp_path: Path) -> None:
    prototxt = tmp_path / "a.prototxt"
    prototxt.write_text('input: "\\033[2J"\nlayer { name: "\\033[2J" type: "ReLU" bottom: "\\033[2J" top: "b" }\n')
    difference = rg.diff(prototxt, "resnet18")
    assert difference.only_a
    assert repr(difference.only_a).isprintable()


def test_weights_list_their_tensors(net: rg.Network, weights: rg.Weights) -> None:
    names = weights.names()
    assert names[:3] == [("conv1/conv1", "weight"), ("conv1/norm1", "gamma"), ("conv1/norm1", "beta")]
    shapes = [weights.tensor(*name).shape for name in names]
    assert shapes == [parameter.shape for node in net.graph.nodes for parameter in net.graph.parameters(node)]


def test_the_zoo_lists_specs_and_figures() -> None:
    assert dir(rg.zoo) == ["ZooEntry", "entries", "matching"]
    names = rg.zoo.matching()
    assert [entry.name for entry in rg.zoo.entries()] == names
    assert [entry.name for entry in rg.zoo.entries(rg.zoo.matching("resnet1?"))] == ["resnet18"]
    with pytest.raises(rg.UsageError, match="names: a list of texts is needed, not the text 'resnet18'"):
        rg.zoo.entries("resnet18")


def test_html_is_the_table(net: rg.Network) -> None:
    html = net._repr_html_()
    assert html == net.summary()._repr_html_()
    assert html.count("<tr>") == len(net.summary().stages) + 2
    assert f"{net.graph.parameter_count:,}" in html


def options_of(function: Callable[..., object]) -> dict[str, Any]:
    """Return the names and defaults of the arguments that a function takes by name only."""
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}


def test_signatures_show_every_option() -> None:
    """Editors and help() read the signature: an option in `**options` would be hidden from both."""
    saved = options_of(rg.save)
    assert set(saved) == set(SAVE_OPTIONS) == set(BUILD_ARGUMENTS) - NOT_SAVED
    for function in (rg.Network.to_onnx, rg.Network.to_caffe, rg.Network.to_prototxt):
        assert options_of(function).items() <= saved.items()
    fields = {one.name: one.default for one in msgspec.structs.fields(FormatOptions) if one.name in saved}
    assert fields.items() <= saved.items()
    settings = inspect.signature(Settings.of).parameters
    assert options_of(rg.verify) == {name: one.default for name, one in settings.items()}
    for function in (rg.save, rg.verify):
        documented = inspect.getdoc(function) or ""
        assert [name for name in options_of(function) if f"`{name}`" not in documented] == []


@pytest.mark.parametrize("function", [rg.load, rg.parse, rg.save, rg.diff, rg.verify, rg.Weights.random], ids=str)
def test_help_begins_with_the_signature(function: Callable[..., object]) -> None:
    text = pydoc.plain(pydoc.render_doc(function))
    assert f"{function.__name__}(" in text
    assert "Raises" in text
