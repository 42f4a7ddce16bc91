"""What mutation testing found untested of the poolings and their translations (docs/mutation.md): texts and files."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx.shape_inference import infer_shapes

from resnetgen.errors import Failure, Source
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.lift import lift
from resnetgen.formats.caffe.model.read import parse
from resnetgen.formats.caffe.validate import validate_caffemodel, validate_prototxt
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.ops import AvgPool, BlurPool, MaxPool, Op, Shape
from resnetgen.ir.ops.base import OpError
from support.helpers import cells, random_weights, write_caffe, write_onnx

SMALLER = "take a smaller kernel, or stride less before it"
REFUSED: list[tuple[Op, Shape, str, str]] = [
    (MaxPool((9, 1), pad=(2, 0)), (4, 3, 3), "a 9x1 window is larger than the padded input, 7", SMALLER),
    (
        AvgPool((1, 9), pad=(0, 1)),
        (4, 3, 3),
        "a 1x9 window is larger than the padded input, 5",
        "gap pools over whatever size is left",
    ),
    (
        BlurPool(),
        (4, 1, 3),
        "blurpool reflects the second pixel, but its input is 4x1x3",
        "blur before the image is so small, or leave it out",
    ),
]


@pytest.mark.parametrize(("op", "shape", "message", "hint"), REFUSED, ids=lambda value: "")
def test_what_a_pooling_refuses(op: Op, shape: Shape, message: str, hint: str) -> None:
    with pytest.raises(OpError) as caught:
        op.shape(shape)
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_same_goes_alone() -> None:
    with pytest.raises(OpError) as caught:
        AvgPool((2, 2), ceil=True, same=True)
    message = "`same` says how the input is padded at stride 1; it goes with no other option"
    assert (caught.value.message, caught.value.hint) == (message, "write avgpool 2x2, same")


def test_what_only_bvlc_can_round_down() -> None:
    with pytest.raises(Failure) as caught:
        write_caffe(net := cells("maxpool 1x1, /2", "4x12x10"), random_weights(net), Path(), dialect=Dialect.OPENCV)
    assert caught.value.problems[0].hint == "--dialect bvlc can, by round_mode"


# Files


@pytest.mark.parametrize("row", ["avgpool 3x3, /2, p=1, ceil", "avgpool 4x4, /3, p=1, ceil", "avgpool 2x2, same"])
def test_every_tensor_inside_is_declared(row: str, tmp_path: Path) -> None:
    """As onnx infers it; a constant bears its node's name."""
    net = cells(f"{row} | relu", "4x12x10")
    proto = onnx.load(str(write_onnx(net, random_weights(net), tmp_path).path))
    declared = {value.name: value for value in proto.graph.value_info}
    inner = {name for node in proto.graph.node for name in node.output} - {value.name for value in proto.graph.output}
    assert declared.keys() == inner
    del proto.graph.value_info[:]
    for value in infer_shapes(proto).graph.value_info:
        assert _extents(value) == _extents(declared[value.name])
    assert all(tensor.name == "s/avgpool.pads" for tensor in proto.graph.initializer)


def _extents(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]


def test_an_uneven_padding_needs_opset_11(tmp_path: Path) -> None:
    net = cells("avgpool 2x2, same")
    with pytest.raises(Failure, match="with uneven padding from opset 11 on"):
        write_onnx(net, random_weights(net), tmp_path, OnnxOptions(opset=9))


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("row", ["avgpool 2x1, same", "avgpool 1x2, same", "maxpool 2x2, /2", "avgpool 1x1, same"])
def test_pads_are_written_where_there_are_any(row: str, dialect: Dialect, tmp_path: Path) -> None:
    net = cells(row, "4x12x10")
    model = write_caffe(net, random_weights(net), tmp_path, dialect=dialect)
    assert ("pad" in model.plan.text.partition("pooling_param")[2]) is (
        row in ("avgpool 2x1, same", "avgpool 1x2, same")
    )
    assert validate_prototxt(model.prototxt, model.graph, model.plan) == []
    assert validate_caffemodel(model.caffemodel, model.plan, model.checksums) == []


NET = """
input: "data" input_dim: 1 input_dim: 4 input_dim: 9 input_dim: 9
layer {{ name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param {{ {param} }} }}
"""


@pytest.mark.parametrize(
    ("param", "op"),
    [
        ("kernel_size: 3", MaxPool((3, 3), ceil=True)),
        ("pool: AVE kernel_size: 3 stride: 2", AvgPool((3, 3), (2, 2), ceil=True)),
        ("kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1 pad_w: 0", MaxPool((3, 2), (2, 1), (1, 0), True)),
    ],
)
def test_what_a_prototxt_leaves_out_is_caffe_s_default(param: str, op: Op) -> None:
    assert lift(parse(Source("net.prototxt", NET.format(param=param)))).graph.nodes[-1].op == op


@pytest.mark.parametrize(
    ("param", "kind"), [("pool: STOCHASTIC kernel_size: 3", "STOCHASTIC"), ("global_pooling: true", "global MAX")]
)
def test_a_pooling_without_a_word(param: str, kind: str) -> None:
    with pytest.raises(Failure) as caught:
        lift(parse(Source("net.prototxt", NET.format(param=param))))
    assert caught.value.problems[0].message == f"unsupported layer: Pooling pool: {kind} pooling"
