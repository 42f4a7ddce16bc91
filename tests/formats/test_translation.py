"""Translation validation: what was written is read back, and whatever happened to it on the way is noticed."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from onnx import GraphProto, ModelProto, numpy_helper

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.caffe.lower_ops import WeightBlob
from resnetgen.formats.caffe.model.schema import message
from resnetgen.formats.caffe.validate import read_caffemodel, validate_caffemodel, validate_prototxt
from resnetgen.formats.onnx.model.read import read_model
from support.helpers import (
    CaffeModel,
    OnnxModel,
    cells,
    random_weights,
    write_caffe,
    write_onnx,
)
from support.translation import beside, net_parameter, onnx_differences

# The unchanged files


def test_unchanged_files_pass(model: OnnxModel, external: OnnxModel, caffe: CaffeModel) -> None:
    assert onnx_differences(model) == []
    assert onnx_differences(external) == []
    assert validate_prototxt(caffe.prototxt, caffe.graph, caffe.plan) == []
    assert validate_caffemodel(caffe.caffemodel, caffe.plan, caffe.checksums) == []


def test_the_model_is_what_protobuf_would_write(model: OnnxModel) -> None:
    """What was streamed has the bytes of what onnx's own helpers make in one piece."""
    whole = ModelProto()
    whole.CopyFrom(model.plan.skeleton)
    weights = random_weights(model.graph)
    for node in model.graph.nodes:
        for parameter in model.graph.parameters(node):
            values = weights.tensor(node.name, parameter.name)
            whole.graph.initializer.append(numpy_helper.from_array(values, f"{node.name}.{parameter.name}"))
    written = model.path.read_bytes()
    assert written == whole.SerializeToString(deterministic=True)
    onnx.checker.check_model(written, full_check=True)


def test_a_model_in_fragments_says_the_same(model: OnnxModel) -> None:
    """A message may come as a sequence of messages, which a reader merges."""
    skeleton = onnx.load(str(model.path))
    pieces = [ModelProto(graph=GraphProto(initializer=[tensor])) for tensor in skeleton.graph.initializer]
    skeleton.graph.ClearField("initializer")
    path = beside(model.path, b"".join(piece.SerializeToString() for piece in (skeleton, *pieces)))
    assert path.read_bytes() != model.path.read_bytes()
    assert onnx_differences(model, path) == []


def test_caffemodel_is_the_prototxt_with_blobs(caffe: CaffeModel) -> None:
    whole = text_format.Parse(caffe.prototxt.read_text(), message("NetParameter")())
    found = net_parameter(caffe.caffemodel.read_bytes())
    weights = random_weights(caffe.graph)
    for layer, written in zip(whole.layer, found.layer, strict=True):
        own = next(one for one in caffe.plan.net.layers if one.name == layer.name)
        values = [weights.tensor(own.node, blob.parameter) for blob in own.blobs if isinstance(blob, WeightBlob)]
        values += [np.ones(1, np.float32)] if layer.type == "BatchNorm" else []
        for value in values:
            blob = layer.blobs.add()
            blob.shape.dim.extend(value.shape)
            blob.data.extend(value.ravel().tolist())
        assert written == layer
    assert found == whole
    assert caffe.plan.net.layers[-1].tops == tuple(whole.layer[-1].top)


# Every truncation, and bits that flip


def parsed_prototxt(data: bytes) -> Any:
    return text_format.Parse(data.decode(), message("NetParameter")())


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    small = cells("conv 1x1, 1, bias | batchnorm | avgpool 2x2, /2, p=1, ceil", "1x3x3")
    model, caffe = (
        write_onnx(small, random_weights(small), tmp_path),
        write_caffe(small, random_weights(small), tmp_path),
    )
    for size in range(model.path.stat().st_size):
        assert onnx_differences(model, beside(model.path, model.path.read_bytes()[:size])), size
    for size in range(caffe.caffemodel.stat().st_size):
        changed = beside(caffe.caffemodel, caffe.caffemodel.read_bytes()[:size])
        assert validate_caffemodel(changed, caffe.plan, caffe.checksums), size
    text = caffe.prototxt.read_bytes()
    for size in range(len(text.rstrip())):
        assert validate_prototxt(beside(caffe.prototxt, text[:size]), caffe.graph, caffe.plan), size


def flips(data: bytes, count: int) -> list[bytes]:
    chance = random.Random(7)
    flipped = []
    for _ in range(count):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        flipped.append(bytes(changed))
    return flipped


Noticed = Callable[[bytes], list[str]]


def missed(noticed: Noticed, parse: Callable[[bytes], Any], data: bytes, count: int) -> list[bytes]:
    """The flips that went unnoticed although they say something else."""
    whole = parse(data)
    return [changed for changed in flips(data, count) if not noticed(changed) and parse(changed) != whole]


@pytest.mark.parametrize("count", [75, pytest.param(300, marks=pytest.mark.fuzz)])
def test_flipped_bits_are_noticed(count: int, model: OnnxModel, external: OnnxModel, caffe: CaffeModel) -> None:
    def in_onnx(data: bytes) -> list[str]:
        return onnx_differences(model, beside(model.path, data))

    def in_external(data: bytes) -> list[str]:
        return onnx_differences(external, beside(external.path, data))

    def in_prototxt(data: bytes) -> list[str]:
        return validate_prototxt(beside(caffe.prototxt, data), caffe.graph, caffe.plan)

    def in_caffemodel(data: bytes) -> list[str]:
        return validate_caffemodel(beside(caffe.caffemodel, data), caffe.plan, caffe.checksums)

    assert missed(in_onnx, ModelProto.FromString, model.path.read_bytes(), count) == []
    assert missed(in_external, ModelProto.FromString, external.path.read_bytes(), count) == []
    assert missed(in_prototxt, parsed_prototxt, caffe.prototxt.read_bytes(), count) == []
    assert missed(in_caffemodel, net_parameter, caffe.caffemodel.read_bytes(), count) == []


def test_flips_are_missed_by_who_looks_away(model: OnnxModel) -> None:
    """Negative control: that a file still parses says little."""

    def parses(data: bytes) -> list[str]:
        try:
            ModelProto.FromString(data)
        except Exception as fault:
            return [str(fault)]
        return []

    assert len(missed(parses, ModelProto.FromString, model.path.read_bytes(), 300)) > 100


# Files that are no models


NO_MODELS = [b"", b"\0", b"GIF89a", b"{}", b"\xff" * 64, b"\x0a" * 999, b"\x3a\x02", random.Random(0).randbytes(300)]


@pytest.mark.parametrize("data", NO_MODELS, ids=range(len(NO_MODELS)))
def test_what_is_no_model(data: bytes, tmp_path: Path, model: OnnxModel, caffe: CaffeModel) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert onnx_differences(model, path)
    assert validate_prototxt(path, caffe.graph, caffe.plan)
    assert validate_caffemodel(path, caffe.plan, caffe.checksums)


def test_nested_deeply(tmp_path: Path, model: OnnxModel) -> None:
    """Subgraphs in attributes, a thousand deep: refused, not a crash."""
    data = b""
    for _ in range(1000):
        graph = b"\x0a" + varint_length(data) + data  # GraphProto.node
        attribute = b"\x32" + varint_length(graph) + graph  # AttributeProto.g
        data = b"\x2a" + varint_length(attribute) + attribute  # NodeProto.attribute
    graph = b"\x0a" + varint_length(data) + data
    path = tmp_path / "deep.onnx"
    path.write_bytes(b"\x3a" + varint_length(graph) + graph)
    assert "no ONNX model" in onnx_differences(model, path)[0]


def varint_length(data: bytes) -> bytes:
    from google.protobuf.internal.encoder import _VarintBytes  # type: ignore[attr-defined]

    return bytes(_VarintBytes(len(data)))


def test_missing_files(tmp_path: Path) -> None:
    for read in (read_model, read_caffemodel):
        with pytest.raises(Failure) as caught:
            read(tmp_path / "nothing")
        assert exit_code(caught.value) is Exit.IO
