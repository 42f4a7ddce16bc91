"""What a weight file says of a tensor beyond its numbers: views, types, and a shape that is said twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_files import blob, call, field, glob, layer, opened, pth, random, storage
from helpers import graph

from resnetgen.errors import Exit, Failure
from resnetgen.ir import ops
from resnetgen.ir.ops import VOCABULARY
from resnetgen.ir.ops.base import BaseOp
from resnetgen.weights.initialise import input_moments
from resnetgen.weights.wire import varint

HOOKS = call(glob("collections", "OrderedDict"))
VALUES = random("float32", 2, 3)


def refused(path: Path, data: bytes) -> str:
    with pytest.raises(Failure) as caught:
        opened(path, data)
    assert caught.value.exit is Exit.MODEL
    return str(caught.value)


@pytest.mark.parametrize("what", ["neg", "conj"])
@pytest.mark.parametrize("version", [2, 3])
def test_a_view_that_changes_its_values_is_refused(version: int, what: str, tmp_path: Path) -> None:
    """torch keeps `neg` and `conj` beside a tensor, whose storage holds the values before they are applied."""

    def file(*metadata: Any) -> bytes:
        kind = "FloatStorage" if version == 2 else "storage.UntypedStorage"
        elements = 6 if version == 2 else 24
        dtype = () if version == 2 else (glob("torch", "float32"),)
        parts = (storage(kind, "0", elements), 0, (2, 3), (3, 1), False, HOOKS, *dtype, *metadata)
        made = call(glob("torch._utils", f"_rebuild_tensor_v{version}"), *parts)
        return pth({"w": made}, {"0": VALUES.tobytes()})

    assert np.array_equal(opened(tmp_path / "w", file()).array("w"), VALUES)
    assert "'w' is a negated or conjugated view" in refused(tmp_path / "w", file({what: True}))


@pytest.mark.parametrize("dtype", ["int32", "float16", "bfloat16"])
def test_a_tensor_of_another_type_than_its_storage_is_refused(dtype: str, tmp_path: Path) -> None:
    """Its bytes would be read as numbers that they are not."""
    parts = (storage("FloatStorage", "0", 6), 0, (2, 3), (3, 1), False, HOOKS, glob("torch", dtype))
    made = call(glob("torch._utils", "_rebuild_tensor_v3"), *parts)
    said = refused(tmp_path / "w", pth({"w": made}, {"0": VALUES.tobytes()}))
    assert "'w' is not of the type of its storage" in said


def test_the_shape_of_old_counts_where_a_blob_has_two(tmp_path: Path) -> None:
    """As Caffe itself decides, which looks at `shape` only where there is none of num, channels, height and width."""
    old = b"".join(varint(number << 3) + varint(size) for number, size in enumerate((1, 1, 3, 2), 1))
    read = opened(tmp_path / "w", field(1, b"net") + layer("fc", "InnerProduct", old + blob(VALUES)))
    assert read.entries["fc.0"].shape == (1, 1, 3, 2)
    assert np.array_equal(read.array("fc.0"), VALUES.reshape(1, 1, 3, 2))
    assert "of 1x1x3x3 holds 6 values" in refused(
        tmp_path / "w",
        layer("fc", "InnerProduct", old[:-1] + varint(3) + blob(VALUES)),
    )


# The moments that initial weights are drawn by


class Unknown(BaseOp):
    """An op that nothing knows."""

    keyword = "unknown"


def test_an_op_without_a_moment_is_an_error() -> None:
    """It would pass on what it is given, and draw the norms behind it for another network."""
    with pytest.raises(AssertionError):
        input_moments(graph((3, 8, 8), a=(Unknown(), "data"), b=(ops.Relu(), "a")))


MOMENTS = {
    "conv": (ops.Conv((1, 1), 3), 2),
    "channelconv": (ops.ChannelConv(), 2),
    "fc": (ops.Fc(4), 2),
    "batchnorm": (ops.BatchNorm(), 1.25),
    "groupnorm": (ops.GroupNorm(3), 1.25),
    "lrn": (ops.Lrn(), 1),
    "relu": (ops.Relu(), 0.5),
    "relu6": (ops.Relu6(), 0.5),
    "leakyrelu": (ops.LeakyRelu(0.5), 0.625),
    "silu": (ops.Silu(), 0.5),
    "mish": (ops.Mish(), 0.5),
    "gelu": (ops.Gelu(), 0.5),
    "sigmoid": (ops.Sigmoid(), 0.3),
    "softmax": (ops.Softmax(), 0.3),
    "dropout": (ops.Dropout(0.5), 1),
    "maxpool": (ops.MaxPool((1, 1)), 1),
    "avgpool": (ops.AvgPool((1, 1)), 0.5),
    "gap": (ops.GlobalAvgPool(), 0.5),
    "blurpool": (ops.BlurPool((1, 1)), 1),
    "channelpad": (ops.ChannelPad(4), 1),
    "flatten": (ops.Flatten(), 1),
    "add": (ops.Add(), 2),
    "mul": (ops.Mul(), 1),
    "concat": (ops.Concat(), 1),
}


@pytest.mark.parametrize("keyword", sorted(VOCABULARY.keys() - {"input"}))
def test_the_moment_of_each_op(keyword: str) -> None:
    """Of an input of moment 1; given twice to what takes two."""
    op, moment = MOMENTS[keyword]
    inputs = ["data"] * (op.arity or 2)
    size = 1 if keyword == "channelconv" else 3
    assert input_moments(graph((3, size, size), op=(op, *inputs), end=(ops.Sigmoid(), "op")))["end"] == moment
