"""What several tests share: small networks from text, and a naive evaluation of them written from the definitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from resnetgen.expand import expand
from resnetgen.formats.caffe import write as caffe
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.onnx import write as onnx
from resnetgen.ir import ops
from resnetgen.ir.graph import Graph, Node
from resnetgen.network import Network, compile_spec
from resnetgen.passes.pipeline import run_passes
from resnetgen.spec.load import load_file
from resnetgen.weights.initialise import Init, Initialised
from resnetgen.weights.names import NameMap
from resnetgen.weights.source import Array, Key, WeightSource

Float64: TypeAlias = npt.NDArray[np.float64]

TINY = """\
use: std
input: 3x32x32
params: {classes: 10}
stages:
  conv1:   32x32 | 3x3, 8
  conv2_x: 16x16 | [3x3, 16; 3x3, 16] x2 /2
  head:    1x1   | gap | fc $classes | softmax
"""


@dataclass(frozen=True)
class Result:
    """What a run of the program left: its exit code, and what it printed."""

    code: int
    out: str
    err: str


Run: TypeAlias = Callable[..., Result]
"""The fixture `run`."""


@cache
def network(name: str) -> Network:
    """Compile a bundled spec, once in a process: what it returns cannot be changed."""
    return compile_spec(name)


def bundled(name: str) -> Graph:
    return network(name).graph


def compile_text(text: str) -> Graph:
    """The network of a spec that stands in a test."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "net.yaml"
        path.write_text(text, encoding="utf-8")
        return expand(load_file(path, shown="net.yaml"))


def cells(row: str, image: str = "4x11x9") -> Graph:
    """The network of one row: cells, divided by |."""
    return compile_text(f"use: std\nname: tiny\ninput: {image}\nstages: {{s: {row!r}}}\n")


def graph(image: ops.Shape, **nodes: tuple[Any, ...]) -> Graph:
    """graph((3, 8, 8), a=(Relu(), "data"), b=(Add(), "data", "a")): where branches do what rows do not say."""
    first = Node("data", ops.Input(image), ())
    return of_nodes(first, *(Node(name, op, tuple(inputs)) for name, (op, *inputs) in nodes.items()))


def of_nodes(*nodes: Node, name: str = "tiny", outputs: tuple[str, ...] = ()) -> Graph:
    """A graph of these nodes; without `outputs`, those that no node reads are its outputs."""
    inputs = tuple(node.name for node in nodes if isinstance(node.op, ops.Input))
    read = {source for node in nodes for source in node.inputs}
    outputs = outputs or tuple(node.name for node in nodes if node.name not in read | {*inputs})
    return Graph(name, inputs, outputs, nodes)


def image(graph: Graph, batch: int = 1, seed: int = 1) -> Array:
    """A standard normal input; half of its values are negative."""
    return np.random.default_rng(seed).standard_normal((batch, *graph.shapes["data"]), dtype=np.float32)


def random_weights(graph: Graph, seed: int = 0) -> Initialised:
    return Initialised(graph, seed, Init.RANDOM_STATS)


@dataclass(frozen=True)
class Changed:
    """Weights of which some are given: {("s/conv", "weight"): values}."""

    weights: WeightSource
    tensors: Mapping[tuple[str, str], Array]

    def tensor(self, node: str, parameter: str) -> Array:
        changed = self.tensors.get((node, parameter))
        return self.weights.tensor(node, parameter) if changed is None else changed.copy(order="C")


# Writing


@dataclass(frozen=True)
class OnnxModel:
    path: Path
    graph: Graph
    weights: WeightSource
    plan: onnx.OnnxPlan
    options: onnx.OnnxOptions
    checksums: dict[str, int]


def write_onnx(
    graph: Graph,
    weights: WeightSource,
    folder: Path,
    options: onnx.OnnxOptions | None = None,
    fold: bool = False,
    limit: int = onnx.MAX_PROTOBUF,
) -> OnnxModel:
    if fold:
        graph, weights = run_passes(graph, weights)
    options = options or onnx.OnnxOptions()
    planned = onnx.plan(graph, options, limit)
    path = folder / f"model{len(list(folder.iterdir()))}.onnx"
    return OnnxModel(path, graph, weights, planned, options, onnx.write(planned, weights, path))


@dataclass(frozen=True)
class CaffeModel:
    prototxt: Path
    caffemodel: Path
    graph: Graph
    plan: caffe.CaffePlan
    checksums: dict[Key, int] = field(default_factory=dict)


def write_caffe(
    graph: Graph,
    weights: WeightSource,
    folder: Path,
    names: NameMap | None = None,
    fold: bool = False,
    batch: int = 1,
    dialect: Dialect = Dialect.BVLC,
) -> CaffeModel:
    if fold:
        graph, weights = run_passes(graph, weights)
    planned = caffe.plan(graph, names, batch, True, dialect)
    stem = folder / f"net{len(list(folder.iterdir()))}"
    prototxt, caffemodel = stem.with_suffix(".prototxt"), stem.with_suffix(".caffemodel")
    prototxt.write_bytes(planned.text.encode())
    checksums = caffe.write_caffemodel(planned, weights, caffemodel)
    return CaffeModel(prototxt, caffemodel, graph, planned, checksums)


# Running


def on_onnxruntime(model: Path | bytes, data: Array) -> Array:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    source = str(model) if isinstance(model, Path) else model
    session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: data})
    return np.asarray(output)


def on_reference_evaluator(model: Path, data: Array) -> Array:
    from onnx import load as load_model

    from resnetgen.backends.onnx_evaluator import run_model

    proto = load_model(str(model))
    return run_model(proto, {proto.graph.input[0].name: data})[proto.graph.output[0].name]


def on_opencv(prototxt: Path | str, caffemodel: Path, data: Array, fusion: bool = True) -> Array:
    """`fusion`: whether OpenCV may merge layers, as it does by default."""
    import cv2

    text = prototxt.read_text(encoding="utf-8") if isinstance(prototxt, Path) else prototxt
    net = cv2.dnn.readNetFromCaffe(bytearray(text.encode()), bytearray(caffemodel.read_bytes()))
    net.enableFusion(fusion)
    net.setInput(data)
    return np.asarray(net.forward())


def error(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    """max |found - wanted| / max |wanted|; infinite where the shapes differ."""
    if found.shape != wanted.shape:
        return float("inf")
    return float(np.abs(found.astype(np.float64) - wanted).max() / (np.abs(wanted).max() or 1))


# The definitions, in float64 and without any thought of speed


def evaluate(graph: Graph, weights: WeightSource, data: Array) -> dict[str, Float64]:
    """Every node's output, by name."""
    found: dict[str, Float64] = {}
    for node in graph.nodes:
        inputs = [found[name] for name in node.inputs] or [data.astype(np.float64)]
        own = {p.name: weights.tensor(node.name, p.name).astype(np.float64) for p in graph.parameters(node)}
        found[node.name] = _compute(node.op, inputs, own)
    return found


def expected(graph: Graph, weights: WeightSource, data: Array) -> Float64:
    return evaluate(graph, weights, data)[graph.output.name]


def _compute(op: ops.Op, inputs: list[Float64], own: dict[str, Float64]) -> Float64:
    x = inputs[0]
    match op:
        case ops.Input():
            return x
        case ops.Conv():
            return _conv(op, x, own["weight"]) + own.get("bias", np.zeros(op.out_channels))[:, None, None]
        case ops.BatchNorm():
            gamma, beta, mean, variance = (
                own[name].reshape(-1, *[1] * (x.ndim - 2)) for name in ("gamma", "beta", "mean", "variance")
            )
            return gamma * (x - mean) / np.sqrt(variance + op.eps) + beta
        case ops.ChannelConv():
            kernel = own["weight"][0, 0]
            padded = np.pad(x[:, :, 0, 0], ((0, 0), (len(kernel) // 2, len(kernel) // 2)))
            found = [padded[:, c : c + len(kernel)] @ kernel for c in range(x.shape[1])]
            return np.stack(found, axis=1)[:, :, None, None]
        case ops.GroupNorm():
            groups = x.reshape(len(x), op.groups, -1)
            mean, variance = groups.mean(axis=2, keepdims=True), groups.var(axis=2, keepdims=True)
            normed = ((groups - mean) / np.sqrt(variance + op.eps)).reshape(x.shape)
            return normed * own["gamma"][:, None, None] + own["beta"][:, None, None]
        case ops.Lrn():
            around = op.size // 2
            squares = np.pad(x * x, ((0, 0), (around, around), (0, 0), (0, 0)))
            sums = sum(squares[:, i : i + x.shape[1]] for i in range(op.size))
            return x / (op.k + op.alpha / op.size * sums) ** op.beta
        case ops.Relu():
            return np.where(x > 0, x, 0)
        case ops.Relu6():
            return np.clip(x, 0, 6)
        case ops.Silu():
            return x / (1 + np.exp(-x))
        case ops.Mish():
            return x * np.tanh(np.log1p(np.exp(x)))
        case ops.Gelu():
            from math import erf, sqrt

            return x * (1 + np.vectorize(erf)(x / sqrt(2))) / 2
        case ops.LeakyRelu():
            return np.where(x > 0, x, op.slope * x)
        case ops.Dropout():
            return x
        case ops.Sigmoid():
            return 1 / (1 + np.exp(-x))
        case ops.MaxPool() | ops.AvgPool():
            return _pool(op, x)
        case ops.GlobalAvgPool():
            return x.mean(axis=(2, 3), keepdims=True)
        case ops.BlurPool():
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
            rows = padded[:, :, :-2] / 4 + padded[:, :, 1:-1] / 2 + padded[:, :, 2:] / 4
            blurred = rows[..., :-2] / 4 + rows[..., 1:-1] / 2 + rows[..., 2:] / 4
            return blurred[:, :, :: op.stride[0], :: op.stride[1]]
        case ops.ChannelPad():
            taken = x[:, :, :: op.stride[0], :: op.stride[1]]
            before = op.before(x.shape[1])
            return np.pad(taken, ((0, 0), (before, op.out_channels - before - x.shape[1]), (0, 0), (0, 0)))
        case ops.Flatten():
            return x.reshape(len(x), -1)
        case ops.Fc():
            return x.reshape(len(x), -1) @ own["weight"].T + own.get("bias", np.zeros(op.units))
        case ops.Softmax():
            return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        case ops.Add():
            return np.sum(inputs, axis=0)
        case ops.Mul():
            return inputs[0] * inputs[1]
        case ops.Concat():
            return np.concatenate(inputs, axis=1)


def _conv(op: ops.Conv, x: Float64, weight: Float64) -> Float64:
    """Element by element of the kernel: each sees the image through a grid of its own."""
    (top, left), (down, right), (every_y, every_x) = op.padding, op.dilation, op.stride
    x = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    height = len(range(0, x.shape[2] - down * (op.kernel[0] - 1), every_y))
    width = len(range(0, x.shape[3] - right * (op.kernel[1] - 1), every_x))
    inner, outer = x.shape[1] // op.groups, op.out_channels // op.groups
    out = np.zeros((len(x), op.out_channels, height, width))
    for group, i, j in itertools.product(range(op.groups), range(op.kernel[0]), range(op.kernel[1])):
        seen = x[:, group * inner : (group + 1) * inner, i * down :: every_y, j * right :: every_x]
        seen = seen[:, :, :height, :width]
        part = slice(group * outer, (group + 1) * outer)
        out[:, part] += np.einsum("nchw,oc->nohw", seen, weight[part, :, i, j])
    return out


def starts(size: int, k: int, s: int, p: int, ceil: bool) -> list[int]:
    """Where the windows of a pooling begin, counted from the padded image's edge: Caffe's rule, one after another.

    Rounding down, a window that would reach beyond the padded image is left out. Rounding up, windows are added until
    one reaches its end; with padding, the last is dropped again if it begins behind the image and its first pad.
    """
    found = [0]
    while found[-1] + k < size + 2 * p:
        if found[-1] + s + k > size + 2 * p and not ceil:
            break
        found.append(found[-1] + s)
    if ceil and p and found[-1] >= size + p:
        found.pop()
    return found


def _pool(op: ops.MaxPool | ops.AvgPool, x: Float64) -> Float64:
    if isinstance(op, ops.AvgPool) and op.same:
        op, x = ops.AvgPool(op.kernel), np.pad(x, ((0, 0), (0, 0), op.pads(0), op.pads(1)))
    spans = []
    for axis, (k, s, p) in enumerate(zip(op.kernel, op.stride, op.pad, strict=True)):
        size = x.shape[2 + axis]
        begins = [start - p for start in starts(size, k, s, p, op.ceil)]
        # Of each window: its part inside the image, and how many elements it has inside the padded image.
        spans.append([(max(b, 0), min(b + k, size), min(b + k, size + p) - b) for b in begins])
    rows = []
    for (top, bottom, height), (left, right, width) in itertools.product(*spans):
        window = x[:, :, top:bottom, left:right]
        if isinstance(op, ops.MaxPool):
            rows.append(window.max(axis=(2, 3)))
        else:
            count = (bottom - top) * (right - left) if op.exclude_pad else height * width
            rows.append(window.sum(axis=(2, 3)) / count)
    return np.stack(rows, axis=2).reshape(*x.shape[:2], len(spans[0]), len(spans[1]))
