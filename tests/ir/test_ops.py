"""The ops' rules, against figures that come from elsewhere: definitions counted out, or published."""

from __future__ import annotations

import itertools
from math import log2, prod

import numpy as np
import pytest

from resnetgen.errors import Code
from resnetgen.ir.graph import InvalidGraph, Node
from resnetgen.ir.ops import (
    MERGES,
    VOCABULARY,
    Add,
    AvgPool,
    BatchNorm,
    BlurPool,
    ChannelConv,
    ChannelPad,
    Concat,
    Conv,
    Dropout,
    Fc,
    Flatten,
    Gelu,
    GlobalAvgPool,
    GroupNorm,
    Input,
    LeakyRelu,
    Lrn,
    MaxPool,
    Mish,
    Mul,
    Op,
    OpError,
    Relu,
    Relu6,
    Shape,
    Sigmoid,
    Silu,
    Softmax,
)
from support.helpers import bundled, cells, of_nodes, starts

# Shapes

SHAPES: list[tuple[Op, tuple[Shape, ...], Shape]] = [
    # The stem of every ResNet, and its two poolings: torch's and Caffe's both give 56, with other windows.
    (Conv((7, 7), 64, stride=(2, 2)), ((3, 224, 224),), (64, 112, 112)),
    (MaxPool((3, 3), (2, 2), ceil=True), ((64, 112, 112),), (64, 56, 56)),
    (MaxPool((3, 3), (2, 2), pad=(1, 1)), ((64, 112, 112),), (64, 56, 56)),
    (MaxPool((3, 3), (2, 2)), ((64, 112, 112),), (64, 55, 55)),
    # Figures of the paper's Table 1, and of other published networks.
    (Conv((3, 3), 128, stride=(2, 2)), ((64, 56, 56),), (128, 28, 28)),
    (Conv((11, 11), 96, stride=(4, 4), pad=(0, 0)), ((3, 227, 227),), (96, 55, 55)),  # AlexNet's conv1
    (Conv((1, 1), 8, stride=(2, 2)), ((4, 7, 8),), (8, 4, 4)),
    (Conv((3, 3), 8, dilation=(2, 2)), ((4, 9, 9),), (8, 9, 9)),
    (Conv((3, 3), 8, dilation=(2, 2), pad=(0, 0)), ((4, 9, 9),), (8, 5, 5)),
    (Conv((3, 5), 8), ((4, 9, 7),), (8, 9, 7)),
    (Conv((2, 3), 8, pad=(1, 0)), ((4, 9, 7),), (8, 10, 5)),
    (Conv((3, 3), 8, groups=4), ((4, 9, 7),), (8, 9, 7)),
    (AvgPool((7, 7)), ((512, 7, 7),), (512, 1, 1)),
    (AvgPool((2, 2), same=True), ((5, 9, 8),), (5, 9, 8)),
    (BlurPool(), ((64, 9, 8),), (64, 5, 4)),
    (BlurPool((1, 2)), ((64, 2, 9),), (64, 2, 5)),
    (GlobalAvgPool(), ((512, 9, 5),), (512, 1, 1)),
    (Flatten(), ((512, 3, 5),), (7680,)),
    (Flatten(), ((7,),), (7,)),
    (Fc(10), ((512, 3, 5),), (10,)),
    (Fc(10), ((512,),), (10,)),
    (ChannelConv(), ((64, 1, 1),), (64, 1, 1)),
    (ChannelPad(32, (2, 2)), ((16, 33, 32),), (32, 17, 16)),  # option A of the CIFAR networks
    (ChannelPad(4), ((4, 3, 2),), (4, 3, 2)),
    (BatchNorm(), ((5, 3, 4),), (5, 3, 4)),
    (GroupNorm(2), ((6, 3, 4),), (6, 3, 4)),
    (Lrn(), ((5, 3, 4),), (5, 3, 4)),
    (Relu(), ((5,),), (5,)),
    (Relu6(), ((5, 4, 3),), (5, 4, 3)),
    (Silu(), ((5,),), (5,)),
    (Mish(), ((5, 4, 3),), (5, 4, 3)),
    (Gelu(), ((5,),), (5,)),
    (LeakyRelu(0.1), ((5, 4, 3),), (5, 4, 3)),
    (Dropout(0.5), ((7,),), (7,)),
    (Sigmoid(), ((5, 1, 1),), (5, 1, 1)),
    (Softmax(), ((5,),), (5,)),
    (Add(), ((4, 2, 2), (4, 2, 2), (4, 2, 2)), (4, 2, 2)),
    (Mul(), ((4, 2, 2), (4, 1, 1)), (4, 2, 2)),
    (Mul(), ((4, 1, 1), (4, 2, 2)), (4, 2, 2)),
    (Mul(), ((4, 1, 7), (4, 1, 1)), (4, 1, 7)),
    (Mul(), ((4, 2, 2), (4, 2, 2)), (4, 2, 2)),
    (Mul(), ((4,), (4,)), (4,)),
    (Concat(), ((4, 2, 2), (1, 2, 2), (3, 2, 2)), (8, 2, 2)),
    (Concat(), ((4,), (3,)), (7,)),
    (Input((3, 8, 9)), (), (3, 8, 9)),
]


@pytest.mark.parametrize(("op", "inputs", "expected"), SHAPES, ids=repr)
def test_shape(op: Op, inputs: tuple[Shape, ...], expected: Shape) -> None:
    assert op.shape(*inputs) == expected


def test_table_of_shapes_covers_the_vocabulary() -> None:
    assert {type(op) for op, _, _ in SHAPES} == set(VOCABULARY.values())
    assert set(MERGES.values()) == {op for op in VOCABULARY.values() if op.arity not in (0, 1)}


def test_conv_counts_its_windows() -> None:
    """Every window of a small axis, one by one: those that lie inside the padded input."""
    for size, k, s, p, d in itertools.product(range(1, 13), (1, 2, 3, 5), (1, 2, 3), (0, 1, 3), (1, 2, 3)):
        windows = [start for start in range(0, 100, s) if start + d * (k - 1) + 1 <= size + 2 * p]
        op = Conv((k, 1), 2, stride=(s, 1), dilation=(d, 1), pad=(p, 0))
        if windows:
            assert op.shape((1, size, 4)) == (2, len(windows), 4), (size, k, s, p, d)
        else:
            with pytest.raises(OpError, match="larger than the padded input"):
                op.shape((1, size, 4))


@pytest.mark.parametrize("ceil", [False, True])
def test_pooling_counts_its_windows(ceil: bool) -> None:
    """Against windows laid one after another: their number, the last one's overhang, and what is refused."""
    seen = {"refused": 0, "overhang": 0, "dropped": 0}
    for size, k, s in itertools.product(range(1, 41), range(1, 8), range(1, 5)):
        for p in range(k):
            op = MaxPool((k, k), (s, s), pad=(p, p), ceil=ceil)
            if size + 2 * p < k:
                with pytest.raises(OpError, match="larger than the padded input"):
                    op.windows(size, 0)
                continue
            windows = starts(size, k, s, p, ceil)
            if windows[-1] >= size + p:  # nothing of the image is under it
                seen["refused"] += 1
                with pytest.raises(OpError, match="starts outside"):
                    op.windows(size, 0)
                continue
            assert op.windows(size, 0) == op.windows(size, 1) == len(windows), (size, k, s, p)
            assert op.overhang(size, 0) == max(0, windows[-1] + k - size - 2 * p), (size, k, s, p)
            assert op.overhang(size, 0) + p < k  # what runtimes ask of explicit pads
            seen["overhang"] += op.overhang(size, 0) > 0
            seen["dropped"] += windows[-1] + k < size + 2 * p
    assert all(seen.values()) if ceil else (seen["refused"], seen["overhang"]) == (0, 0)


def test_pooling_by_caffe_s_formula() -> None:
    """The same once more, as numerics.md has Caffe's rule: two ways to write it must agree."""
    for size, k, s in itertools.product(range(1, 41), range(1, 8), range(1, 5)):
        for p in range(1, k):
            if size + 2 * p < k:
                continue
            count = int(np.ceil((size + 2 * p - k) / s)) + 1
            count -= (count - 1) * s >= size + p
            assert AvgPool((k, k), (s, s), pad=(p, p), ceil=True).windows(size, 0) == count


def test_pooling_axes_are_independent() -> None:
    assert MaxPool((3, 2), (2, 1), pad=(1, 0), ceil=True).shape((5, 8, 6)) == (5, 5, 5)
    # Caffe's own clipping looks at both pads, OpenCV's at one: what they see otherwise is refused.
    with pytest.raises(OpError, match="starts outside"):
        MaxPool((1, 3), (2, 2), pad=(0, 1), ceil=True).shape((5, 12, 10))


# Parameters and MACs


def test_conv_macs_are_the_multiplications_of_its_loops() -> None:
    for groups, bias, kernel in itertools.product((1, 2, 4), (False, True), ((3, 3), (1, 2))):
        op = Conv(kernel, 8, stride=(2, 1), groups=groups, pad=(1, 0), bias=bias)
        _, height, width = op.shape((4, 7, 6))
        multiplications = 0
        for _ in itertools.product(range(8), range(height), range(width), range(kernel[0]), range(kernel[1])):
            multiplications += 4 // groups
        assert op.macs((4, 7, 6)) == multiplications
        assert sum(p.size for p in op.parameters((4, 7, 6))) == 8 * (4 // groups) * prod(kernel) + 8 * bias


PARAMETERS: list[tuple[Op, Shape, dict[str, Shape]]] = [
    (Conv((7, 5), 64), (3, 224, 224), {"weight": (64, 3, 7, 5)}),
    (Conv((3, 3), 8, groups=4, bias=True), (4, 9, 9), {"weight": (8, 1, 3, 3), "bias": (8,)}),
    (Fc(10), (4, 3, 2), {"weight": (10, 24), "bias": (10,)}),
    (Fc(10, bias=False), (24,), {"weight": (10, 24)}),
    (BatchNorm(), (5, 3, 4), {"gamma": (5,), "beta": (5,), "mean": (5,), "variance": (5,)}),
    (GroupNorm(3), (6, 3, 4), {"gamma": (6,), "beta": (6,)}),
    (ChannelConv(5), (64, 1, 1), {"weight": (1, 1, 5)}),
    (ChannelConv(), (64, 1, 1), {"weight": (1, 1, 3)}),
    (ChannelConv(channels=2048), (64, 1, 1), {"weight": (1, 1, 7)}),
]


@pytest.mark.parametrize(("op", "image", "expected"), PARAMETERS, ids=repr)
def test_parameters(op: Op, image: Shape, expected: dict[str, Shape]) -> None:
    assert {p.name: p.shape for p in op.parameters(image)} == expected
    assert {p.name for p in op.parameters(image) if not p.trainable} <= {"mean", "variance"}


def test_all_other_ops_have_neither_parameters_nor_macs() -> None:
    for op, inputs, _ in SHAPES:
        if not isinstance(op, Conv | ChannelConv | Fc | BatchNorm | GroupNorm):
            assert op.parameters(*inputs) == ()
        if not isinstance(op, Conv | ChannelConv | Fc):
            assert op.macs(*inputs) == 0
    assert Fc(10).macs((4, 3, 2)) == 240
    assert ChannelConv(5).macs((64, 1, 1)) == 320


def test_channelconv_s_own_kernel_is_that_of_its_paper() -> None:
    """ECA-Net, equation 12, in real numbers: the number of channels, and one to either side of each power of two."""
    for channels in sorted({2**n + d for n in range(1, 15) for d in (-1, 0, 1)}):
        t = int(abs((log2(channels) + 1) / 2))
        assert ChannelConv().size(channels) == max(3, t if t % 2 else t + 1)
        assert ChannelConv(channels=channels).size(1) == ChannelConv().size(channels)


@pytest.mark.parametrize("kernel", [(1, 1), (2, 2), (3, 3), (4, 5)])
def test_same_pads_as_much_as_keeps_the_size(kernel: tuple[int, int]) -> None:
    op = AvgPool(kernel, same=True)
    assert op.shape((3, 6, 5)) == (3, 6, 5)
    for axis, size in enumerate((6, 5)):
        before, behind = op.pads(axis)
        assert size + before + behind - kernel[axis] + 1 == size
        assert behind - before in (0, 1)


def test_channelpad_splits_its_zeros() -> None:
    assert [ChannelPad(7).before(4), ChannelPad(7, both=True).before(4), ChannelPad(8, both=True).before(4)] == [
        0,
        1,
        2,
    ]


PUBLISHED = [
    # Parameters and MACs as torchvision and timm publish them; MACs of the v1 networks as numerics.md states them.
    ("resnet18", 11_689_512, 1_814_073_344),
    ("resnet34", 21_797_672, 3_663_761_408),
    ("resnet50", 25_557_096, 3.858e9),
    ("resnet50_v1_5", 25_557_032, 4_089_184_256),
    ("resnet101", 44_549_160, 7.570e9),
    ("resnet152", 60_192_808, 11.282e9),
    ("plain34", 21_623_848, None),
]


@pytest.mark.parametrize(("name", "parameters", "macs"), PUBLISHED)
def test_published_figures(name: str, parameters: int, macs: float | None) -> None:
    graph = bundled(name)
    assert graph.parameter_count == parameters
    if isinstance(macs, int):
        assert graph.mac_count == macs
    elif macs is not None:
        assert round(graph.mac_count / 1e9, 3) == macs / 1e9


def test_a_changed_stride_shows_in_the_macs() -> None:
    """Negative control: v1 and v1.5 have the same weights but for a bias, and other MACs."""
    v1, v1_5 = bundled("resnet50"), bundled("resnet50_v1_5")
    assert v1.parameter_count - v1_5.parameter_count == 64
    # In each of three stages the first 1x1, 256 to 128 channels at 28x28, sees four times as many positions.
    assert v1_5.mac_count - v1.mac_count == 3 * (4 - 1) * 28 * 28 * 256 * 128


# Refusals

REFUSED_ATTRIBUTES = [
    (lambda: Conv((0, 3), 8), Code.BAD_VALUE, "even kernel"),
    (lambda: Conv((2, 2), 8), Code.BAD_VALUE, "an even kernel, 2x2, has no padding that keeps the size"),
    (lambda: Conv((3, 3), 0), Code.BAD_VALUE, "the number of output channels is 0"),
    (lambda: Conv((3, 3), 1_000_001), Code.BAD_VALUE, "the number of output channels is 1,000,001"),
    (lambda: Conv((3, 3), 8, stride=(0, 1)), Code.BAD_VALUE, "the stride is 0; it must be positive"),
    (lambda: Conv((3, 3), 8, dilation=(1, 0)), Code.BAD_VALUE, "the dilation is 0"),
    (lambda: Conv((3, 3), 8, pad=(-1, 0)), Code.BAD_VALUE, "the pad is -1"),
    (lambda: Conv((1025, 1), 8), Code.BAD_VALUE, "the kernel is 1,025; it must be between 1 and 1,024"),
    (lambda: Conv((3, 3), 8, groups=0), Code.BAD_VALUE, "the number of groups is 0"),
    (lambda: MaxPool((0, 3)), Code.BAD_VALUE, "the kernel is 0"),
    (lambda: MaxPool((3, 3), pad=(3, 0)), Code.BAD_VALUE, "a pad of 3 is not smaller than the kernel, 3"),
    (lambda: AvgPool((3, 3), (1, -2)), Code.BAD_VALUE, "the stride is -2"),
    (lambda: BatchNorm(0.0), Code.BAD_VALUE, "eps is 0.0"),
    (lambda: BatchNorm(-1e-5), Code.BAD_VALUE, "it must lie between 0 and 1"),
    (lambda: BatchNorm(float("nan")), Code.BAD_VALUE, "eps is nan"),
    (lambda: BatchNorm(1e-50), Code.BAD_VALUE, "eps is 1e-50"),  # 0 as a float32
    (lambda: BatchNorm(1e-38), Code.BAD_VALUE, "eps is 1e-38"),  # not a normal float32
    (lambda: BatchNorm(0.99999999), Code.BAD_VALUE, "eps is 0.99999999"),  # 1 as a float32
    (lambda: LeakyRelu(0.99999999), Code.BAD_VALUE, "the slope is 0.99999999"),
    (lambda: Dropout(0.99999999), Code.BAD_VALUE, "the ratio is 0.99999999"),
    (lambda: Fc(0), Code.BAD_VALUE, "the number of units is 0"),
    (lambda: ChannelConv(4), Code.BAD_VALUE, "an even kernel, 4, has no middle"),
    (lambda: ChannelConv(1025), Code.BAD_VALUE, "the kernel is 1,025"),
    (lambda: ChannelConv(3, channels=64), Code.BAD_VALUE, "kernel and channels are two ways to say one thing"),
    (lambda: ChannelConv(channels=-1), Code.BAD_VALUE, "the number of channels is -1"),
    (lambda: GroupNorm(0), Code.BAD_VALUE, "the number of groups is 0"),
    (lambda: GroupNorm(2, eps=0), Code.BAD_VALUE, "eps is 0"),
    (lambda: Lrn(4), Code.BAD_VALUE, "an even size, 4, has no middle"),
    (lambda: Lrn(0), Code.BAD_VALUE, "the size is 0"),
    (lambda: Lrn(alpha=0.0), Code.BAD_VALUE, "alpha is 0.0; it must be positive"),
    (lambda: Lrn(alpha=1e6), Code.BAD_VALUE, "alpha is 1000000.0; it must be positive and below 1,000,000"),
    (lambda: Lrn(beta=-0.75), Code.BAD_VALUE, "beta is -0.75"),
    (lambda: Lrn(k=float("nan")), Code.BAD_VALUE, "k is nan"),
    (lambda: BlurPool((0, 1)), Code.BAD_VALUE, "the stride is 0"),
    (lambda: ChannelPad(0), Code.BAD_VALUE, "the number of output channels is 0"),
    (lambda: ChannelPad(8, (2, 0)), Code.BAD_VALUE, "the stride is 0"),
    (lambda: AvgPool((2, 2), (2, 2), same=True), Code.BAD_VALUE, "it goes with no other option"),
    (lambda: AvgPool((3, 3), pad=(1, 1), same=True), Code.BAD_VALUE, "it goes with no other option"),
    (lambda: AvgPool((2, 2), ceil=True, same=True), Code.BAD_VALUE, "it goes with no other option"),
    (lambda: AvgPool((2, 2), exclude_pad=True, same=True), Code.BAD_VALUE, "it goes with no other option"),
    (lambda: Input((3, 0, 8)), Code.BAD_VALUE, "an extent of the input is 0"),
    (lambda: Input((3, 8, 65_537)), Code.BAD_VALUE, "an extent of the input is 65,537"),
]


@pytest.mark.parametrize(("make", "code", "message"), REFUSED_ATTRIBUTES, ids=[one[2] for one in REFUSED_ATTRIBUTES])
def test_refused_attributes(make: object, code: Code, message: str) -> None:
    assert callable(make)
    with pytest.raises(OpError) as caught:
        make()
    assert caught.value.code is code
    assert message in caught.value.message


REFUSED_INPUTS: list[tuple[Op, tuple[Shape, ...], Code, str]] = [
    (Conv((3, 3), 8), ((10,),), Code.SHAPE_MISMATCH, "conv needs an image"),
    (MaxPool((3, 3)), ((10,),), Code.SHAPE_MISMATCH, "maxpool needs an image"),
    (AvgPool((3, 3)), ((10,),), Code.SHAPE_MISMATCH, "avgpool needs an image"),
    (GlobalAvgPool(), ((10,),), Code.SHAPE_MISMATCH, "gap needs an image"),
    (ChannelConv(), ((10,),), Code.SHAPE_MISMATCH, "channelconv needs an image"),
    (ChannelConv(), ((4, 1, 2),), Code.SHAPE_MISMATCH, "channelconv needs one pixel, but its input is 4x1x2"),
    (GroupNorm(2), ((10,),), Code.SHAPE_MISMATCH, "groupnorm needs an image"),
    (GroupNorm(4), ((6, 3, 3),), Code.BAD_GROUPS, "4 groups do not divide the 6 channels of 6x3x3"),
    (Lrn(), ((10,),), Code.SHAPE_MISMATCH, "lrn needs an image"),
    (BlurPool(), ((10,),), Code.SHAPE_MISMATCH, "blurpool needs an image"),
    (BlurPool(), ((4, 5, 1),), Code.SHAPE_MISMATCH, "blurpool reflects the second pixel, but its input is 4x5x1"),
    (ChannelPad(8), ((10,),), Code.SHAPE_MISMATCH, "channelpad needs an image"),
    (ChannelPad(8), ((16, 3, 3),), Code.SHAPE_MISMATCH, "16 channels cannot be padded to 8"),
    (Conv((3, 3), 8, groups=3), ((4, 9, 9),), Code.BAD_GROUPS, "3 groups do not divide 4 input channels"),
    (Conv((3, 3), 9, groups=4), ((4, 9, 9),), Code.BAD_GROUPS, "4 groups do not divide 9 output channels"),
    (Conv((5, 5), 8, pad=(0, 0)), ((4, 4, 9),), Code.SHAPE_MISMATCH, "a window of 5 is larger than"),
    (Conv((3, 3), 8, dilation=(4, 1), pad=(1, 1)), ((4, 6, 9),), Code.SHAPE_MISMATCH, "a window of 9 is larger than"),
    (AvgPool((7, 7)), ((4, 6, 9),), Code.SHAPE_MISMATCH, "a 7x7 window is larger than the padded input, 6"),
    (MaxPool((2, 2), (3, 3), ceil=True), ((4, 6, 9),), Code.SHAPE_MISMATCH, "the last window of this pooling starts"),
    (Add(), ((4, 2, 2), (4, 2, 3)), Code.SHAPE_MISMATCH, "4x2x2 and 4x2x3 cannot be added"),
    (Add(), ((4, 2, 2), (4, 2, 2), (8, 2, 2)), Code.SHAPE_MISMATCH, "4x2x2 and 8x2x2 cannot be added"),
    (Add(), ((4, 2, 2), (4, 1, 1)), Code.SHAPE_MISMATCH, "cannot be added"),
    (Mul(), ((4, 2, 2), (2, 1, 1)), Code.SHAPE_MISMATCH, "4x2x2 and 2x1x1 cannot be multiplied"),
    (Mul(), ((4, 2, 2), (4,)), Code.SHAPE_MISMATCH, "cannot be multiplied"),
    (Mul(), ((4, 2, 2), (4, 1, 2)), Code.SHAPE_MISMATCH, "cannot be multiplied"),
    (Concat(), ((4, 2, 2), (4, 2, 3)), Code.SHAPE_MISMATCH, "4x2x2 and 4x2x3 cannot be concatenated"),
    (Concat(), ((4, 2, 2), (4,)), Code.SHAPE_MISMATCH, "cannot be concatenated"),
]


@pytest.mark.parametrize(("op", "inputs", "code", "message"), REFUSED_INPUTS, ids=lambda value: str(value)[:40])
def test_refused_inputs(op: Op, inputs: tuple[Shape, ...], code: Code, message: str) -> None:
    with pytest.raises(OpError) as caught:
        op.shape(*inputs)
    assert caught.value.code is code
    assert message in caught.value.message


def test_nearest_number_of_groups_is_named() -> None:
    with pytest.raises(OpError) as caught:
        Conv((3, 3), 96, groups=31).shape((64, 9, 9))
    assert caught.value.hint == "the nearest count that divides 64 and 96 is 32"
    with pytest.raises(OpError) as caught:
        GroupNorm(7).shape((64, 9, 9))
    assert caught.value.hint == "the nearest count that divides 64 is 8"


# Graphs

DATA = Node("data", Input((3, 8, 8)), ())
INVALID: list[tuple[tuple[Node, ...], str]] = [
    ((DATA,), "the outputs are none"),
    ((Node("a", Relu(), ()),), "a has 0 inputs"),
    ((DATA, Node("a", Relu(), ("b",)), Node("b", Relu(), ("data",))), "a consumes b, which no node before it"),
    ((DATA, Node("a", Relu(), ("a",))), "a consumes a"),
    ((DATA, Node("data", Relu(), ("data",))), "two nodes are called data"),
    ((DATA, Node("a", Relu(), ("data", "data"))), "a has 2 inputs"),
    ((DATA, Node("a", Add(), ("data",))), "a has 1 inputs"),
    ((DATA, Node("a", GlobalAvgPool(), ("data",)), Node("b", Add(), ("data", "a"))), "b: 3x8x8 and 3x1x1 cannot"),
]


@pytest.mark.parametrize(("nodes", "message"), INVALID, ids=[message for _, message in INVALID])
def test_invalid_graph(nodes: tuple[Node, ...], message: str) -> None:
    with pytest.raises(InvalidGraph, match=message):
        of_nodes(*nodes)


def test_totals_of_a_graph() -> None:
    graph = cells("conv 3x3, 8, /2, bias | batchnorm | relu | gap | fc 10", image="3x9x9")
    assert graph.parameter_count == (3 * 9 * 8 + 8) + 2 * 8 + (8 * 10 + 10)  # running statistics are not counted
    assert graph.mac_count == 5 * 5 * 3 * 9 * 8 + 8 * 10
