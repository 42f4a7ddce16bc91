"""fold_norm: its formula, where it is refused, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import Add, BatchNorm, Conv, Fc, Relu
from resnetgen.passes.fold_norm import fold_norm
from resnetgen.passes.pipeline import PIPELINE, run_passes
from support.helpers import (
    Changed,
    bundled,
    cells,
    compile_text,
    error,
    evaluate,
    expected,
    graph,
    image,
    on_onnxruntime,
    random_weights,
    write_onnx,
)


def shape_of(graph: Graph) -> list[str]:
    """`name = keyword inputs`, and whether a convolution has a bias."""
    lines = []
    for node in graph.nodes[1:]:
        bias = " bias" if isinstance(node.op, Conv) and node.op.bias else ""
        lines.append(f"{node.name} = {node.op.keyword}{bias} {' '.join(node.inputs)}")
    return lines


FOLDED = [
    (
        cells("conv 3x3, 6 | batchnorm | relu"),
        ["s/conv = conv bias data", "s/relu = relu s/conv"],
    ),
    (
        cells("conv 3x3, 6, bias | batchnorm"),
        ["s/conv = conv bias data"],
    ),
    (  # only the first of two norms stands behind the convolution
        cells("conv 3x3, 6 | batchnorm | batchnorm"),
        ["s/conv = conv bias data", "s/batchnorm2 = batchnorm s/conv"],
    ),
    (
        graph((4, 5, 5), a=(Conv((3, 3), 4), "data"), b=(BatchNorm(), "a"), c=(Relu(), "b"), d=(Add(), "b", "c")),
        ["a = conv bias data", "c = relu a", "d = add a c"],
    ),
    (  # in the order of the convolutions, not of the norms
        graph(
            (4, 5, 5),
            a=(Conv((3, 3), 4), "data"),
            b=(Conv((3, 3), 4), "data"),
            c=(BatchNorm(), "b"),
            d=(BatchNorm(), "a"),
            e=(Add(), "d", "c"),
        ),
        ["a = conv bias data", "b = conv bias data", "e = add a b"],
    ),
]
KEPT = [
    cells("batchnorm | conv 3x3, 6"),  # the norm first, as in pre-activation networks
    cells("conv 3x3, 6 | relu | batchnorm"),
    cells("conv 3x3, 6 | maxpool 3x3 | batchnorm"),
    cells("fc 6 | batchnorm"),
    cells("conv 3x3, 6 | relu | gap | fc 3 | softmax"),
    graph((4, 5, 5), a=(Conv((3, 3), 4), "data"), b=(BatchNorm(), "a"), c=(Add(), "a", "b")),
    graph((4, 5, 5), a=(Conv((3, 3), 4), "data"), b=(BatchNorm(), "a"), c=(BatchNorm(), "a"), d=(Add(), "b", "c")),
]


@pytest.mark.parametrize(("net", "after"), FOLDED, ids=lambda value: "")
def test_folded(net: Graph, after: list[str]) -> None:
    folded, _ = fold_norm(net, random_weights(net))
    assert shape_of(folded) == after
    assert folded.name == net.name
    assert [node.span for node in folded.nodes] == [net[node.name].span for node in folded.nodes]


@pytest.mark.parametrize("net", KEPT, ids=lambda net: " ".join(node.op.keyword for node in net.nodes[1:]))
def test_kept(net: Graph) -> None:
    """The pass is the identity, on the weights as well."""
    weights = random_weights(net)
    folded, folded_weights = fold_norm(net, weights)
    assert folded == net
    for node in net.nodes:
        for parameter in net.parameters(node):
            values = folded_weights.tensor(node.name, parameter.name)
            assert np.array_equal(values, weights.tensor(node.name, parameter.name))


ROWS = [
    "conv 3x3, 6 | batchnorm",
    "conv 3x3, 6, bias | batchnorm",
    "conv 3x3, 6, bias | batchnorm eps=0.5",
    "conv 3x3, 8, C=4, bias | batchnorm",
    "conv 3x3, 4, C=4 | batchnorm eps=0.01",
    "conv 1x5, 3, /2, d=1x2, bias | batchnorm",
]


@pytest.mark.parametrize("row", ROWS)
def test_formula(row: str) -> None:
    """Element by element, in float64: weight * s and (bias - mean) * s + beta, s = gamma / sqrt(variance + eps)."""
    net = cells(row)
    weights = random_weights(net)
    conv, norm = net.nodes[1].op, net.nodes[2].op
    assert isinstance(conv, Conv)
    assert isinstance(norm, BatchNorm)
    folded, found = fold_norm(net, weights)
    gamma, beta, mean, variance = (
        weights.tensor("s/batchnorm", name).astype(float) for name in ("gamma", "beta", "mean", "variance")
    )
    for channel in range(conv.out_channels):
        s = gamma[channel] / (variance[channel] + norm.eps) ** 0.5
        weight = weights.tensor("s/conv", "weight")[channel].astype(float) * s
        bias = float(weights.tensor("s/conv", "bias")[channel]) if conv.bias else 0.0
        bias = (bias - mean[channel]) * s + beta[channel]
        np.testing.assert_allclose(found.tensor("s/conv", "weight")[channel], weight, rtol=3e-7)
        np.testing.assert_allclose(found.tensor("s/conv", "bias")[channel], bias, rtol=3e-7, atol=1e-7)
    for parameter in folded.parameters(folded["s/conv"]):
        values = found.tensor("s/conv", parameter.name)
        assert values.shape == parameter.shape
        assert values.dtype == np.float32
        assert values.flags.c_contiguous


def test_formula_needs_each_of_its_parts() -> None:
    """Negative control: leave out one part and the numbers are others."""
    net = cells("conv 3x3, 6, bias | batchnorm eps=0.5")
    weights, data = random_weights(net), image(cells("conv 3x3, 6, bias | batchnorm eps=0.5"))
    wanted = expected(net, weights, data)
    changes = {
        "eps": (cells("conv 3x3, 6, bias | batchnorm"), weights),
        "bias": (net, Changed(weights, {("s/conv", "bias"): np.zeros(6, np.float32)})),
        "gamma": (net, Changed(weights, {("s/batchnorm", "gamma"): np.ones(6, np.float32)})),
        "beta": (net, Changed(weights, {("s/batchnorm", "beta"): np.zeros(6, np.float32)})),
        "mean": (net, Changed(weights, {("s/batchnorm", "mean"): np.zeros(6, np.float32)})),
        "variance": (net, Changed(weights, {("s/batchnorm", "variance"): np.ones(6, np.float32)})),
    }
    for part, (changed, its_weights) in changes.items():
        folded = expected(*fold_norm(changed, its_weights), data)
        assert error(folded, expected(changed, its_weights, data)) < 1e-6
        assert error(folded, wanted) > 1e-3, part


def test_weights_are_not_changed_by_being_folded() -> None:
    net = cells("conv 3x3, 6 | batchnorm")
    _, folded = fold_norm(net, random_weights(net))
    first = folded.tensor("s/conv", "weight").copy()
    assert np.array_equal(folded.tensor("s/conv", "weight"), first)


NETS = {
    "post-activation": """
use: std
input: 3x21x17
stages:
  conv1:   11x9 | 7x7, 8, /2, bias
  conv2_x: 6x5  | maxpool 3x3, /2, p=1, ceil | [1x1, 8; 3x3, 8, C=2; 1x1, 16] x2
  conv3_x: 3x3  | [3x3, 24; 3x3, 24] x2 /2
  head:    1x1  | gap | fc 7 | softmax
""",
    "pre-activation": """
use: std
input: 3x21x17
defaults: {unit: [norm, act, conv], bracket: {last: [norm, act, conv], after: null}}
stages:
  conv1:   21x17 | conv 3x3, 8
  conv2_x: 11x9  | [3x3, 8; 3x3, 8] x2 /2
  head:    1x1   | norm | act | gap | fc 7
""",
}


@pytest.mark.parametrize("name", NETS)
def test_folded_and_unfolded_agree_on_onnxruntime(name: str, tmp_path: Path) -> None:
    net = compile_text(NETS[name])
    weights, data = random_weights(net), image(net, batch=2)
    plain, folded = (write_onnx(net, weights, tmp_path, fold=fold) for fold in (False, True))
    left = [node.name for node in folded.graph.nodes if isinstance(node.op, BatchNorm)]
    assert len(left) < sum(isinstance(node.op, BatchNorm) for node in net.nodes)
    # Where the norm comes first, the one at the front of the network has no convolution before it that only it reads.
    assert (left == []) is (name == "post-activation")
    a, b = on_onnxruntime(plain.path, data), on_onnxruntime(folded.path, data)
    assert 0 < error(a, b) < 1e-5  # not the same file twice
    assert error(b, expected(net, weights, data)) < 1e-5


def test_every_folded_tensor_is_what_its_norm_was() -> None:
    net = compile_text(NETS["post-activation"])
    weights, data = random_weights(net), image(net)
    before, after = evaluate(net, weights, data), evaluate(*run_passes(net, weights), data)
    norms = {node.inputs[0]: node.name for node in net.nodes if isinstance(node.op, BatchNorm)}
    for name, values in after.items():
        assert error(values, before[norms.get(name, name)]) < 1e-5


def test_pipeline() -> None:
    assert (fold_norm,) == PIPELINE
    net = bundled("resnet50")
    folded, _ = run_passes(net, random_weights(net))
    assert len(net.nodes) - len(folded.nodes) == 53  # 53 convolutions, each with a norm
    assert not any(isinstance(node.op, BatchNorm) for node in folded.nodes)
    # Each norm's 2 * channels became a bias: the 26,560 channels of a ResNet-50's norms; conv1 had one already.
    assert net.parameter_count - folded.parameter_count == 26_560 + 64
    assert folded.mac_count == net.mac_count
    assert sum(isinstance(node.op, Fc) for node in folded.nodes) == 1
