"""Caffe nets that others wrote, as graphs of the IR; and those that are none."""

from __future__ import annotations

import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure, Source
from resnetgen.formats.caffe.lift import LiftedNet, lift
from resnetgen.formats.caffe.model.read import parse
from resnetgen.ir.ops import BatchNorm, Conv, Fc, Mish, Relu6, Silu

SHAPE = "shape { dim: 2 dim: 4 dim: 9 dim: 9 }"
INPUT = f'layer {{ name: "image" type: "Input" top: "data" input_param {{ {SHAPE} }} }}\n'
CONV = """
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 } }
layer { name: "n" type: "BatchNorm" bottom: "c" top: "c" }
layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true } }
"""


def lifted(text: str) -> LiftedNet:
    return lift(parse(Source("net.prototxt", text)))


def refusal(text: str) -> tuple[str, str, str]:
    with pytest.raises(Failure) as caught:
        lifted(text)
    assert exit_code(caught.value) is Exit.MODEL
    (problem,) = caught.value.problems
    return problem.message, str(problem.span), problem.hint


def test_a_net_as_others_write_it() -> None:
    """An Input layer, a norm that leaves `use_global_stats` out, one without a Scale, layers of training, a Split."""
    net = lifted(
        INPUT
        + 'layer { name: "label" type: "Data" top: "data" top: "label" include { phase: TRAIN } }'
        + CONV
        + 'layer { name: "t" type: "Split" bottom: "c" top: "t1" top: "t2" }'
        + 'layer { name: "b" type: "BatchNorm" bottom: "t1" top: "b" batch_norm_param { eps: 0.001 } }'
        + 'layer { name: "e" type: "Eltwise" bottom: "t2" bottom: "b" top: "e" }'
        + 'layer { name: "d" type: "Dropout" bottom: "e" top: "e" }'
        + 'layer { name: "f" type: "InnerProduct" bottom: "e" top: "f" inner_product_param { num_output: 5 } }'
    )
    graph = net.graph
    assert [(node.name, node.op.keyword, node.inputs) for node in graph.nodes] == [
        ("data", "input", ()),
        ("c", "conv", ("data",)),
        ("s", "batchnorm", ("c",)),
        ("b", "batchnorm", ("s",)),
        ("e", "add", ("s", "b")),
        ("d", "dropout", ("e",)),
        ("f", "fc", ("d",)),
    ]
    assert (net.batch, graph.inputs, graph.outputs) == (2, ("data",), ("f",))
    assert (graph["c"].op, graph["b"].op) == (Conv((3, 3), 4, bias=True), BatchNorm(0.001))
    assert net.layers["s"] == (2, 3)
    assert net.blobs == {
        ("c", "weight"): (1, 0),
        ("c", "bias"): (1, 1),
        ("s", "mean"): (2, 0),
        ("s", "variance"): (2, 1),
        ("s", "gamma"): (3, 0),
        ("s", "beta"): (3, 1),
        ("b", "mean"): (5, 0),
        ("b", "variance"): (5, 1),
        ("f", "weight"): (8, 0),
        ("f", "bias"): (8, 1),
    }
    assert graph["c"].span
    assert graph["c"].span.line == 3


@pytest.mark.parametrize(
    ("layers", "op"),
    [
        ('layer { name: "x" type: "ReLU6" bottom: "data" top: "x" }', Relu6()),
        ('layer { name: "x" type: "Mish" bottom: "data" top: "x" }', Mish()),
        (
            'layer { name: "g" type: "Sigmoid" bottom: "data" top: "g" }'
            'layer { name: "x" type: "Eltwise" bottom: "g" bottom: "data" top: "x" eltwise_param { operation: PROD } }',
            Silu(),
        ),
        (
            'layers { name: "x" type: INNER_PRODUCT bottom: "data" top: "x" inner_product_param { num_output: 3 } }',
            Fc(3),
        ),
    ],
)
def test_what_layers_mean(layers: str, op: object) -> None:
    text = layers if layers.startswith("layers") else INPUT + layers
    declared = f'input: "data" input_{SHAPE} ' if layers.startswith("layers") else ""
    assert lifted(declared + text).graph.nodes[-1].op == op


def test_the_first_layer_that_is_unsupported_is_named() -> None:
    """Not one that reads it, nor a later one."""
    layer = 'layer {{ name: "{0}" type: "{1}" bottom: "{2}" top: "{0}" }}\n'
    text = INPUT + layer.format("a", "PReLU", "data") + layer.format("b", "ReLU", "a") + layer.format("c", "PReLU", "b")
    message, place, hint = refusal(text)
    assert (message, place, hint) == ("unsupported layer: PReLU a", "net.prototxt:2", "did you mean ReLU or ReLU6?")
    assert "known: BNLL, BatchNorm, Clip" in refusal(text.replace("PReLU", "Axpy"))[2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (INPUT.replace(SHAPE, "") + CONV, "Input data: an input must have four dimensions"),
        (INPUT + CONV.replace("pad: 1", "pad: 1 axis: 2"), "Convolution c: its axis is 2, not 1"),
        (INPUT + CONV.replace("pad: 1", "pad: [1, 2, 3]"), "Convolution c: pad has 3 values"),
        (INPUT + CONV.replace("pad: 1", "pad: 1 winograd: true"), "its field convolution_param.winograd"),
        (INPUT + CONV.replace('"n" type', '"n" batch_norm_param { eps: nan } type'), "its eps is no number"),
        (INPUT + CONV.replace("num_output: 4", ""), "Convolution c: the number of output channels is 0"),
        (INPUT + CONV.replace('top: "c"\n', 'top: "c" top: "q"\n'), "1 bottoms and 2 tops"),
    ],
)
def test_refusals(text: str, reason: str) -> None:
    assert reason in refusal(text)[0]


def test_damaged_sizes_and_thousands_of_bottoms_are_refused() -> None:
    assert "it must be" in refusal(INPUT.replace("dim: 4", "dim: 0") + CONV)[0]
    assert lifted(INPUT.replace("dim: 2", "dim: 0") + CONV).batch == 1
    bottoms = 'bottom: "data" ' * 3000
    concat = f'layer {{ name: "j" type: "Concat" {bottoms} top: "j" concat_param {{ axis: 3 }} }}'
    conv = CONV.replace('"data"', '"j"')
    assert refusal(INPUT + concat + conv)[0] == "unsupported layer: Concat j: its axis is 3, not 1"
