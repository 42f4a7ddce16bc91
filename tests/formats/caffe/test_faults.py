"""Faults that are put into the writer on purpose: validation, which shares the schema alone with it, finds each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from resnetgen.formats.caffe import lower, lower_ops
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.lower_ops import FixedBlob, LayerPlan, Layers, WeightBlob, zeros
from resnetgen.formats.caffe.validate import validate_caffemodel, validate_prototxt
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import Relu
from support.helpers import compile_text, random_weights, write_caffe

NET = """
use: std
name: faulty
input: 4x13x13
blocks:
  preact: {branches: {shortcut: identity, main: "norm | relu | conv 3x3, 4, bias"}, merge: add}
  beside: {branches: {a: "1x1, 4", b: "3x3, 4"}, merge: concat}
stages:
  a: conv 3x3, 4, /2, C=2, p=2, d=2 | norm | relu | preact()
  b: conv 3x1, 4 | maxpool 2x2, /2 | beside() | relu6
  c: avgpool 2x2, same | gap | fc 3 | softmax
"""

Change = Callable[[LayerPlan], LayerPlan | None]


def in_layers(function: str, change: Change) -> Callable[[pytest.MonkeyPatch], None]:
    """A fault in the layers that a function of lower_ops returns; None leaves a layer out."""

    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(lower_ops, function)

        def faulty(*values: Any) -> Layers:
            return tuple(changed for layer in real(*values) if (changed := change(layer)) is not None)

        monkeypatch.setattr(lower_ops, function, faulty)

    return plant


def without(*names: str) -> Change:
    """Leave parameters out, so that the reader takes Caffe's defaults."""
    return lambda one: replace(one, params=tuple(param for param in one.params if param[0] not in names))


def with_values(**values: Any) -> Change:
    """Give parameters other values, where the layer has them."""
    return lambda one: replace(one, params=tuple((name, values.get(name, value)) for name, value in one.params))


def of(type: str, change: Change) -> Change:
    return lambda one: change(one) if one.type == type else one


def always_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The norm of a pre-activation overwrites what the shortcut still reads."""
    monkeypatch.setattr(lower, "_may_be_written_over", lambda *_: True)


def no_relu(monkeypatch: pytest.MonkeyPatch) -> None:
    real = lower._place

    def place(
        graph: Graph, node: Node, made: Layers, names: tuple[str, ...], blobs: dict[str, str], first: bool
    ) -> Any:
        if isinstance(node.op, Relu):
            blobs[node.name] = blobs[node.inputs[0]]
            return iter(())
        return real(graph, node, made, names, blobs, first)

    monkeypatch.setattr(lower, "_place", place)


def turned_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    real = lower._place

    def place(*values: Any) -> Iterator[LayerPlan]:
        for layer in real(*values):
            yield replace(layer, bottoms=layer.bottoms[::-1]) if layer.type == "Concat" else layer

    monkeypatch.setattr(lower, "_place", place)


def in_fc(change: Change) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        real = lower._layers

        def layers(*values: Any) -> Layers:
            return tuple(of("InnerProduct", lambda one: change(one) or one)(one) or one for one in real(*values))

        monkeypatch.setattr(lower, "_layers", layers)

    return plant


def no_bias(layer: LayerPlan) -> LayerPlan:
    return replace(layer, params=(*layer.params, ("bias_term", False)), blobs=layer.blobs[:1])


def other_factor(layer: LayerPlan) -> LayerPlan:
    return replace(layer, blobs=(*layer.blobs[:2], FixedBlob((1,), zeros)))


FAULTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    # A fault, and what validation says of it.
    "pad": (
        in_layers("convolution", lambda one: with_values(pad=1)(one) if ("pad", 2) in one.params else one),
        "a/conv is ",
    ),
    "stride": (in_layers("convolution", with_values(stride=1)), "a/conv is "),
    "dilation": (in_layers("convolution", without("dilation")), "a/conv is "),
    "groups": (in_layers("convolution", without("group")), "a/conv is "),
    "kernel turned": (in_layers("convolution", with_values(kernel_h=1, kernel_w=3, pad_h=0, pad_w=1)), "b/conv is "),
    "bias lost": (in_fc(no_bias), "c/fc is "),
    "eps": (
        in_layers("batchnorm", of("BatchNorm", lambda one: replace(one, params=(*one.params, ("eps", 0.001))))),
        "a/norm is ",
    ),
    "statistics of the batch": (in_layers("batchnorm", with_values(use_global_stats=False)), "unsupported layer"),
    "gamma for beta": (
        in_layers("batchnorm", of("Scale", lambda one: replace(one, blobs=one.blobs[::-1]))),
        "the blobs of a/norm/2 differ",
    ),
    "mean for variance": (
        in_layers("batchnorm", of("BatchNorm", lambda one: replace(one, blobs=(*one.blobs[1::-1], one.blobs[2])))),
        "the blobs of a/norm differ",
    ),
    "another factor": (in_layers("batchnorm", of("BatchNorm", other_factor)), "the blobs of a/norm differ"),
    "Scale lost": (in_layers("batchnorm", lambda one: None if one.type == "Scale" else one), "no layer has the gamma"),
    "beta lost": (
        in_layers("batchnorm", of("Scale", lambda one: replace(one, params=(), blobs=one.blobs[:1]))),
        "no layer has the beta of a/norm/2",
    ),
    "rounding": (in_layers("pooling", without("round_mode")), "b/maxpool is "),
    "method of pooling": (in_layers("pooling", with_values(pool=lower_ops.Enum("AVE"))), "b/maxpool is "),
    "crop": (in_layers("same_average", of("Crop", with_values(offset=0))), "unsupported layer: Crop"),
    "order of inputs": (turned_inputs, "reads "),
    "in place": (always_in_place, "reads "),
    "activation lost": (no_relu, "nodes instead of"),
    "shape of a blob": (
        in_fc(lambda one: replace(one, blobs=(WeightBlob("weight", (1, 24)), one.blobs[1]))),
        "the blobs of c/fc",
    ),
    "weight for bias": (in_fc(lambda one: replace(one, blobs=one.blobs[::-1])), "the blobs of c/fc"),
}


def said(tmp_path: Path) -> list[str]:
    """What validation says of both files."""
    net = compile_text(NET)
    model = write_caffe(net, random_weights(net), tmp_path, dialect=Dialect.BVLC)
    of_text = validate_prototxt(model.prototxt, net, model.plan)
    return [*of_text, *validate_caffemodel(model.caffemodel, model.plan, model.checksums)]


def test_without_a_fault_nothing_is_said(tmp_path: Path) -> None:
    assert said(tmp_path) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_writer_is_noticed(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, message = FAULTS[fault]
    plant(monkeypatch)
    found = said(tmp_path)
    assert any(message in line for line in found), found
