"""A network with several outputs, in every room: used where it can be, refused with one text where it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import resnetgen as rg
from resnetgen.backends.onnxruntime import Device, Session
from resnetgen.build.options import Options
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.deploy.config import Serving, configure
from resnetgen.deploy.labels_file import read_labels
from resnetgen.errors import Code, Failure
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.lower import lower
from resnetgen.formats.caffe.validate import validate_prototxt
from resnetgen.formats.onnx.lower import FloatTypes, Names
from resnetgen.formats.onnx.number_types import FloatType
from resnetgen.formats.onnx.validate import validate
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.canonical import canonical, differences
from resnetgen.ir.graph import Graph, InvalidGraph, Node
from resnetgen.ir.ops import Add, BatchNorm, Conv, Dropout, Fc, Flatten, GlobalAvgPool, Input, Mul, Relu, Sigmoid
from resnetgen.ir.text import dump
from resnetgen.network import compile_spec
from resnetgen.passes.fold_norm import fold_norm
from resnetgen.passes.pipeline import run_passes
from resnetgen.summary import summarise
from resnetgen.verification import Settings, verify_against_spec
from resnetgen.weights.draw import keys
from support.helpers import error, evaluate, image, of_nodes, random_weights, write_caffe, write_onnx

NODES = (
    Node("data", Input((3, 8, 8)), ()),
    Node("conv1/conv1", Conv((3, 3), 4), ("data",)),
    Node("conv1/norm1", BatchNorm(), ("conv1/conv1",)),
    Node("conv1/act1", Relu(), ("conv1/norm1",)),
    Node("conv2_x/conv1", Conv((3, 3), 8, (2, 2)), ("conv1/act1",)),
    Node("conv2_x/norm1", BatchNorm(), ("conv2_x/conv1",)),
    Node("conv2_x/act1", Relu(), ("conv2_x/norm1",)),
    Node("head/gap", GlobalAvgPool(), ("conv2_x/act1",)),
    Node("head/fc", Fc(5), ("head/gap",)),
)
PYRAMID = of_nodes(*NODES, outputs=("head/fc", "conv1/act1"))
"""A classifier that gives a feature map as well, which later layers read."""
TWO_HEADS = of_nodes(*NODES, Node("aux/fc", Fc(3), ("conv1/act1",)))
"""Two outputs that no node reads."""


def net_of(graph: Graph, name: str = "tiny") -> Any:
    """The network of a bundled spec with another graph."""
    network = compile_spec("resnet18", {"classes": 5})
    return type(network)(network.spec, graph, network.digest)


# The graph


def test_a_node_by_its_name() -> None:
    assert PYRAMID["conv1/act1"] is NODES[3]
    assert "conv1/act1" in PYRAMID
    assert "conv1" not in PYRAMID
    with pytest.raises(KeyError, match="tiny has no node 'conv1/act'; did you mean conv1/act1"):
        PYRAMID["conv1/act"]


def test_outputs_count_as_uses() -> None:
    assert PYRAMID.use_counts["conv1/act1"] == 2
    assert TWO_HEADS.use_counts["head/fc"] == 1
    assert PYRAMID.sole_consumer("conv1/act1") is None
    assert PYRAMID.sole_consumer("conv1/norm1") is NODES[3]
    assert PYRAMID.sole_consumer("head/fc") is None


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (("data",), (), "the outputs are none; there must be at least one, and each once"),
        (("data",), ("head/fc", "head/fc"), "the outputs are head/fc, head/fc; there must be"),
        (("data",), ("head/fc", "data"), "the output data is not computed by any node"),
        (("data",), ("fc",), "the output fc is not computed by any node"),
        (("data",), ("head/gap",), "head/fc is neither read by a node nor an output"),
        ((), ("head/fc",), "the inputs are none, the input nodes data"),
        (("conv1/conv1",), ("head/fc",), "the inputs are conv1/conv1, the input nodes data"),
    ],
)
def test_ends_that_are_none(inputs: tuple[str, ...], outputs: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidGraph, match=message):
        Graph("tiny", inputs, outputs, NODES)


def test_the_one_error() -> None:
    """Place, reason and hint of what needs one output."""
    spans = compile_spec("resnet18").graph.nodes[1].span
    aux = Node("aux/fc", Fc(3), ("conv1/act1",), spans)
    with pytest.raises(Failure) as caught:
        _ = of_nodes(*NODES, aux).output
    assert exit_code(caught.value) is Exit.SPEC
    (problem,) = caught.value.problems
    assert problem.code is Code.UNSUPPORTED
    assert problem.span is spans
    assert problem.message == "tiny has 2 outputs (head/fc, aux/fc); only a network of one can be used here"
    assert problem.hint == "keep one output"
    assert of_nodes(*NODES).output is NODES[-1]


def test_several_inputs() -> None:
    two = of_nodes(NODES[0], Node("other", Input((3, 8, 8)), ()), Node("add", Add(), ("data", "other")))
    assert two.inputs == ("data", "other")
    for use in (lambda: two.input, lambda: lower(two, None), lambda: write_onnx(two, random_weights(two), Path())):
        with pytest.raises(Failure, match=r"tiny has 2 inputs \(data, other\); only a network of one"):
            use()


def test_the_text_names_the_outputs() -> None:
    assert dump(PYRAMID).splitlines()[1] == "# outputs: head/fc, conv1/act1"
    assert "# outputs" not in dump(of_nodes(*NODES))


def test_outputs_differ() -> None:
    swapped = of_nodes(*NODES, outputs=PYRAMID.outputs[::-1])
    assert differences(PYRAMID, PYRAMID) == []
    assert differences(PYRAMID, swapped) == ["its outputs are conv1/act1, head/fc, not head/fc, conv1/act1"]


# Passes


def test_an_output_is_not_folded_away() -> None:
    net = of_nodes(*NODES, outputs=("head/fc", "conv1/conv1"))
    folded, _ = run_passes(net, random_weights(net))
    assert "conv1/norm1" in folded
    assert "conv2_x/norm1" not in folded
    assert folded.outputs == net.outputs


def test_an_output_that_is_folded_is_renamed() -> None:
    net = of_nodes(*NODES, outputs=("head/fc", "conv2_x/norm1"))
    folded, weights = fold_norm(net, random_weights(net))
    assert folded.outputs == ("head/fc", "conv2_x/conv1")
    data = image(net)
    assert error(
        evaluate(folded, weights, data)["conv2_x/conv1"], evaluate(net, random_weights(net), data)["conv2_x/norm1"]
    ) < 1e-6  # fmt: skip


def test_what_the_canonical_form_keeps() -> None:
    """Removed are dropouts, flattens before fc, and gates of a silu, but no output of the network."""
    nodes = (
        NODES[0],
        Node("gate", Sigmoid(), ("data",)),
        Node("silu", Mul(), ("data", "gate")),
        Node("drop", Dropout(0.3), ("silu",)),
        Node("flat", Flatten(), ("drop",)),
        Node("fc", Fc(2), ("flat",)),
    )
    whole = canonical(of_nodes(*nodes, outputs=("fc", "gate", "drop", "flat")))
    assert [node.name for node in whole.nodes] == [node.name for node in nodes]
    assert [node.name for node in canonical(of_nodes(*nodes)).nodes] == ["data", "silu", "fc"]


# Formats


def test_onnx(tmp_path: Path) -> None:
    """The outputs have the names of their nodes, in the order of the graph."""
    weights = random_weights(PYRAMID)
    model = write_onnx(PYRAMID, weights, tmp_path)
    assert validate(model.path, model.graph, model.plan, model.options, model.checksums) == []
    data = image(PYRAMID, batch=2)
    found = Session(model.path, Device()).run(data)
    assert tuple(found) == PYRAMID.outputs
    for name, values in evaluate(PYRAMID, weights, data).items():
        assert name not in found or error(found[name], values) < 1e-5
    other = of_nodes(*NODES, outputs=PYRAMID.outputs[::-1])
    assert validate(model.path, other, model.plan, model.options, model.checksums)


@pytest.mark.parametrize(
    "options", [OnnxOptions(names=Names(output="probabilities")), OnnxOptions(types=FloatTypes(FloatType.FP16))]
)
def test_onnx_refuses(options: OnnxOptions, tmp_path: Path) -> None:
    """A name for one output, and casts to another type than that of the network."""
    with pytest.raises(Failure, match=r"tiny has 2 outputs \(head/fc, conv1/act1\); only a network of one"):
        write_onnx(PYRAMID, random_weights(PYRAMID), tmp_path, options)


@pytest.mark.parametrize("fold", [False, True])
def test_caffe(fold: bool, tmp_path: Path) -> None:
    model = write_caffe(TWO_HEADS, random_weights(TWO_HEADS), tmp_path, fold=fold)
    assert validate_prototxt(model.prototxt, model.graph, model.plan) == []


@pytest.mark.opencv
def test_caffe_on_opencv(tmp_path: Path) -> None:
    from resnetgen.backends.opencv import OpenCvNet

    weights, data = random_weights(TWO_HEADS), image(TWO_HEADS)
    model = write_caffe(TWO_HEADS, weights, tmp_path, fold=True, dialect=Dialect.OPENCV)
    found = OpenCvNet(model.prototxt.read_text(), model.caffemodel.read_bytes()).run(data)
    assert sorted(found) == sorted(TWO_HEADS.outputs)
    wanted = evaluate(TWO_HEADS, weights, data)
    assert all(error(values, wanted[name]) < 1e-5 for name, values in found.items())


def test_caffe_refuses_an_output_that_is_read() -> None:
    with pytest.raises(Failure) as caught:
        lower(PYRAMID, None)
    assert exit_code(caught.value) is Exit.SPEC
    assert "the tops that no layer reads, but conv2_x/conv1 reads conv1/act1" in str(caught.value)


# What is done with a network


def test_summary_and_weights() -> None:
    network = net_of(TWO_HEADS)
    assert summarise(network.spec, TWO_HEADS).nodes == len(TWO_HEADS.nodes)
    assert ("aux/fc", "weight") in keys(TWO_HEADS)


def test_verify(tmp_path: Path) -> None:
    weights = random_weights(PYRAMID)
    model = write_onnx(PYRAMID, weights, tmp_path, fold=True)
    report = verify_against_spec(model.path, PYRAMID, weights, Settings())
    assert report.passed
    (one,) = report.comparisons
    assert {layer.name for layer in one.layers if layer.is_output} == {*PYRAMID.outputs}
    changed = random_weights(PYRAMID, seed=1)
    wrong = write_onnx(PYRAMID, changed, tmp_path, fold=True)
    assert not verify_against_spec(wrong.path, PYRAMID, weights, Settings()).passed


def test_the_library() -> None:
    """In memory, with all that a build checks."""
    text = "use: std\ninput: 3x8x8\nstages: {head: gap | fc 5}\n"
    network = replace(rg.parse(text), graph=PYRAMID)
    weights = rg.Weights.random(network)
    assert [value.name for value in network.to_onnx(weights).graph.output] == [*PYRAMID.outputs]
    for use in (lambda: network.to_caffe(weights), lambda: network.to_onnx(weights, output_name="scores")):
        with pytest.raises(rg.SpecError):
            use()
    two = replace(network, graph=TWO_HEADS)
    prototxt, caffemodel = two.to_caffe(rg.Weights.random(two))
    assert 'name: "aux/fc"' in prototxt
    assert "aux/fc" in [layer.name for layer in caffemodel.layer]
    assert two.graph["aux/fc"].op == Fc(3)


def test_a_server_needs_one_output(tmp_path: Path) -> None:
    network = net_of(PYRAMID)
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    for use in (
        lambda: configure("tiny", network, Options(), Serving(), None),
        lambda: read_labels(labels, network),
    ):
        with pytest.raises(Failure, match=r"tiny has 2 outputs \(head/fc, conv1/act1\); only a network of one"):
            use()
