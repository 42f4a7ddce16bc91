"""Mistakes in single weights, as converters make them: each of 200 is caught, and the right unit is named."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from msgspec.structs import replace
from onnx import numpy_helper

from resnetgen.backends.onnxruntime import Device
from resnetgen.formats.caffe.lower_ops import WeightBlob
from resnetgen.formats.caffe.model.schema import message
from resnetgen.ir.ops import BatchNorm, Conv, Fc
from resnetgen.verification import Expected, Report, Settings, caffe, compare_backends
from resnetgen.verification.backends import Backend, CaffeBackend, OnnxBackend, ReferenceBackend, Values
from resnetgen.verification.input_images import Part
from resnetgen.weights.source import Array, Key
from support.helpers import CaffeModel, compile_text, random_weights, write_caffe, write_onnx

NET = compile_text("""
use: std
name: small
input: 3x16x16
stages:
  conv1:   16x16 | 3x3, 8, bias
  conv2_x: 8x8   | [1x1, 8; 3x3, 8; 1x1, 16] x2 /2
  conv3_x: 4x4   | [3x3, 16; 3x3, 16] x2 /2
  head:    1x1   | gap | fc 10 | softmax
""")
NETWORK = Expected(NET, random_weights(NET), None)
Tensors = dict[Key, Array]


def swapped(tensors: Tensors, node: str, a: str, b: str) -> None:
    tensors[node, a], tensors[node, b] = tensors[node, b].copy(), tensors[node, a].copy()


def transposed(tensors: Tensors, node: str) -> None:
    """Height and width; of a 1x1 kernel and of a matrix, in and out, which are read in the wrong order."""
    old = tensors[node, "weight"]
    new = old.swapaxes(2, 3) if old.shape[2:] > (1, 1) else old.swapaxes(0, 1)
    tensors[node, "weight"] = np.ascontiguousarray(new).reshape(old.shape)


def off_by_one(tensors: Tensors, node: str, seed: int) -> None:
    """A block of up to 64 weights, each the one behind its own."""
    flat = tensors[node, "weight"].reshape(-1).copy()
    length = min(64, flat.size // 4)
    start = random.Random(seed).randrange(flat.size - length)
    flat[start : start + length] = flat[start + 1 : start + length + 1]
    tensors[node, "weight"] = flat.reshape(tensors[node, "weight"].shape)


class Mistake(NamedTuple):
    kind: str
    node: str
    file: str
    number: int = 0

    def make(self, tensors: Tensors) -> None:
        match self.kind:
            case "mean and variance":
                swapped(tensors, self.node, "mean", "variance")
            case "gamma and beta":
                swapped(tensors, self.node, "gamma", "beta")
            case "transposed":
                transposed(tensors, self.node)
            case _:
                off_by_one(tensors, self.node, self.number)


NORMS = [node.name for node in NET.nodes if isinstance(node.op, BatchNorm)]
WEIGHTED = [node.name for node in NET.nodes if isinstance(node.op, Conv | Fc)]
FILES = ("folded.onnx", "unfolded.onnx", "net.caffemodel")
MISTAKES = [
    *(
        Mistake(kind, node, file)
        for kind in ("mean and variance", "gamma and beta")
        for node in NORMS
        for file in FILES[1:]
    ),
    *(Mistake("transposed", node, file) for node in WEIGHTED for file in FILES),
    *(Mistake("off by one", node, file, number) for node in WEIGHTED for file in FILES for number in range(3)),
]
SAMPLE = random.Random(0).sample(MISTAKES, 200)


def marks(file: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a test that runs this file: a caffemodel runs on OpenCV."""
    return [pytest.mark.opencv] if file.endswith(".caffemodel") else []


class Once:
    """A backend that computes each part once, however often it is asked."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.found: dict[int, Values] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def run(self, part: Part, inner: bool) -> Values:
        if part.first not in self.found:
            self.found[part.first] = self.backend.run(part, inner)
        return self.found[part.first]


@pytest.fixture(scope="module")
def reference() -> Backend:
    return Once(ReferenceBackend("reference", NETWORK))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("models")
    onnx_files = {file: write_onnx(NET, NETWORK.weights, folder, fold=file[0] == "f") for file in FILES[:2]}
    return {**onnx_files, FILES[2]: write_caffe(NET, NETWORK.weights, folder)}


def spoilt_onnx(path: Path, mistake: Mistake | None, copy: Path) -> Path:
    model = onnx.load(str(path))
    held = {tuple(one.name.rpartition(".")[::2]): one for one in model.graph.initializer if "." in one.name}
    tensors: Tensors = {key: numpy_helper.to_array(one) for key, one in held.items()}
    if mistake:
        mistake.make(tensors)
    for key, one in held.items():
        one.raw_data = tensors[key].tobytes()
    copy.write_bytes(model.SerializeToString())
    return copy


def spoilt_caffemodel(model: CaffeModel, mistake: Mistake | None, copy: Path) -> Path:
    net = message("NetParameter").FromString(model.caffemodel.read_bytes())
    held = {
        (layer.node, blob.parameter): values
        for layer, read in zip(model.plan.net.layers, net.layer, strict=True)
        for blob, values in zip(layer.blobs, read.blobs, strict=True)
        if isinstance(blob, WeightBlob)
    }
    tensors: Tensors = {key: np.array(blob.data, np.float32).reshape(blob.shape.dim) for key, blob in held.items()}
    if mistake:
        mistake.make(tensors)
    for key, blob in held.items():
        blob.data[:] = tensors[key].reshape(-1).tolist()
    copy.write_bytes(net.SerializeToString())
    return copy


def check(reference: Backend, models: dict[str, Any], file: str, mistake: Mistake | None, folder: Path) -> Report:
    model = models[file]
    if file.endswith(".onnx"):
        backend: Backend = OnnxBackend(file, spoilt_onnx(model.path, mistake, folder / file), Device())
    else:
        files = caffe.load(model.prototxt, model.caffemodel, NETWORK)
        backend = CaffeBackend(file, replace(files, caffemodel=spoilt_caffemodel(model, mistake, folder / file)))
    return compare_backends(file, [reference, backend], Settings())


@pytest.mark.parametrize("file", [pytest.param(file, marks=marks(file)) for file in FILES])
def test_without_a_mistake_all_are_equal(reference: Backend, models: dict[str, Any], file: str, tmp_path: Path) -> None:
    report = check(reference, models, file, None, tmp_path)
    assert report.passed
    assert report.comparisons[0].largest.error < 1e-5


def test_the_sample_has_every_kind_in_every_file() -> None:
    assert {(one.kind, one.file) for one in SAMPLE} == {(one.kind, one.file) for one in MISTAKES}


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(one, marks=marks(one.file)) for one in SAMPLE],
    ids=lambda one: f"{one.file}, {one.node}, {one.kind} {one.number}",
)
def test_a_mistake_is_caught(mistake: Mistake, reference: Backend, models: dict[str, Any], tmp_path: Path) -> None:
    """The first tensor that differs is of the unit whose weight is wrong: Caffe works in place, and shows its last."""
    first = check(reference, models, mistake.file, mistake, tmp_path).first_difference
    assert first
    assert first.name.rpartition("/")[0] == mistake.node.rpartition("/")[0]
