"""Models of others, lifted: what a spelling means, that it computes the same when written anew, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.onnx.lift import LiftedModel, lift
from resnetgen.formats.onnx.model.read import OnnxModel, read_model
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.weights.source import Array
from support.foreign_models import MODELS, net
from support.helpers import error, on_onnxruntime, write_onnx

RANDOM = np.random.default_rng(0)


def node(kind: str, inputs: str, output: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


def floats(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


def model(
    nodes: Sequence[NodeProto],
    opset: int = 17,
    image: Sequence[Any] = (4, 9, 9),
    batch: Any = "N",
    outputs: Sequence[str] = ("y",),
    **values: Any,
) -> ModelProto:
    """A network of an input `x`, with initializers by name."""
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *image])
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    graph = helper.make_graph(list(nodes), "g", [source], results, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


W, B = floats(6, 4, 3, 3), floats(6)
NORM = {name: np.abs(floats(4)) for name in ("s", "b", "m", "v")}
FC = floats(5, 324)
POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}
FLAT = node("Flatten", "x", "f")
PADS = np.array([0, 0, 1, 1, 0, 0, 1, 1])
SQRT2 = np.float32(1.4142135)

SPELLINGS: dict[str, tuple[ModelProto, str]] = {
    # A model, and the ops that it is.
    "a convolution's defaults": (model([node("Conv", "x w")], w=W), "conv"),
    "with a bias": (model([node("Conv", "x w b", pads=[1, 1, 1, 1])], w=W, b=B), "conv"),
    "SAME_UPPER": (model([node("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2])], w=W), "conv"),
    "SAME_LOWER": (model([node("Conv", "x w", auto_pad="SAME_LOWER")], w=W), "conv"),
    "VALID": (model([node("Conv", "x w", auto_pad="VALID", dilations=[2, 2])], w=W), "conv"),
    "depthwise": (model([node("Conv", "x w", group=4)], w=floats(4, 1, 3, 3)), "conv"),
    "a norm's defaults": (model([node("BatchNormalization", "x s b m v")], **NORM), "batchnorm"),
    "a norm of opset 7": (model([node("BatchNormalization", "x s b m v", spatial=1)], 7, **NORM), "batchnorm"),
    "instance norm": (model([node("InstanceNormalization", "x s b")], s=NORM["s"], b=NORM["b"]), "groupnorm"),
    "group norm": (
        model([node("GroupNormalization", "x s b", num_groups=2)], 21, s=NORM["s"], b=NORM["b"]),
        "groupnorm",
    ),
    "Clip of opset 6": (model([node("Clip", "x", min=0.0, max=6.0)], 8), "relu6"),
    "Clip of inputs": (model([node("Clip", "x l h")], l=np.float32(0), h=np.float32(6)), "relu6"),
    "Clip at 0": (model([node("Clip", "x l")], l=np.float32(0)), "relu"),
    "Clip at 0, opset 8": (model([node("Clip", "x", min=0.0)], 8), "relu"),
    "leaky": (model([node("LeakyRelu", "x")]), "leakyrelu"),
    "lrn": (model([node("LRN", "x", size=3)]), "lrn"),
    "silu": (model([node("Sigmoid", "x", "s"), node("Mul", "s x")]), "silu"),
    "a gate of its own": (
        model([node("Sigmoid", "x", "s"), node("Mul", "s x", "m"), node("Add", "m s")]),
        "sigmoid mul add",
    ),
    "mish": (model([node("Softplus", "x", "p"), node("Tanh", "p", "t"), node("Mul", "t x")]), "mish"),
    "gelu of torch": (
        model(
            [
                node("Div", "x r", "d"),
                node("Erf", "d", "e"),
                node("Add", "e o", "a"),
                node("Mul", "x a", "m"),
                node("Mul", "m h"),
            ],
            r=SQRT2,
            o=np.float32(1),
            h=np.float32(0.5),
        ),
        "gelu",
    ),
    "gelu, halved first": (
        model(
            [
                node("Mul", "x r", "d"),
                node("Erf", "d", "e"),
                node("Add", "o e", "a"),
                node("Mul", "x h", "m"),
                node("Mul", "m a"),
            ],
            r=np.float32(1 / SQRT2),
            o=np.float32(1),
            h=np.float32(0.5),
        ),
        "gelu",
    ),
    "ReduceMean": (model([node("ReduceMean", "x", axes=[2, 3])]), "gap"),
    "ReduceMean from behind": (model([node("ReduceMean", "x", axes=[-1, -2], keepdims=0)], 13), "gap flatten"),
    "ReduceMean of opset 18": (model([node("ReduceMean", "x a")], 18, a=np.array([2, 3])), "gap"),
    "gap and Squeeze": (
        model([node("GlobalAveragePool", "x", "g"), node("Squeeze", "g a")], a=np.array([2, 3])),
        "gap flatten",
    ),
    "Squeeze of opset 11": (
        model([node("GlobalAveragePool", "x", "g"), node("Squeeze", "g", axes=[-2, 3])], 11),
        "gap flatten",
    ),
    "Reshape by -1": (model([node("Reshape", "x t")], t=np.array([0, -1])), "flatten"),
    "Reshape by the size": (model([node("Reshape", "x t")], t=np.array([-1, 324])), "flatten"),
    "Reshape of a batch of one": (model([node("Reshape", "x t")], batch=1, t=np.array([1, -1])), "flatten"),
    "Reshape to the same": (
        model([node("Relu", "x", "r"), node("Reshape", "r t")], t=np.array([0, 4, -1, 9])),
        "relu dropout",
    ),
    "Flatten": (model([node("Flatten", "x", axis=-3)]), "flatten"),
    "Gemm": (model([FLAT, node("Gemm", "f w b")], w=FC.T.copy(), b=floats(5)), "flatten fc"),
    "Gemm, transposed": (model([FLAT, node("Gemm", "f w", transB=1)], w=FC), "flatten fc"),
    "Gemm, a bias of two axes": (model([FLAT, node("Gemm", "f w b", transB=1)], w=FC, b=floats(1, 5)), "flatten fc"),
    "MatMul": (model([FLAT, node("MatMul", "f w")], w=FC.T.copy()), "flatten fc"),
    "MatMul and Add": (
        model([FLAT, node("MatMul", "f w", "m"), node("Add", "b m")], w=FC.T.copy(), b=floats(5)),
        "flatten fc",
    ),
    "Dropout": (model([node("Dropout", "x", "d"), node("Relu", "d")], 11), "dropout relu"),
    "Dropout of opset 12": (model([node("Dropout", "x r", "d"), node("Relu", "d")], r=np.float32(0.3)), "dropout relu"),
    "Identity": (model([node("Identity", "x", "i"), node("Relu", "i")]), "relu"),
    "Identity at the end": (model([node("Relu", "x", "r"), node("Identity", "r")]), "relu dropout"),
    "Identity of a weight": (model([node("Identity", "w", "v"), node("Conv", "x v")], w=W), "conv"),
    "a Constant node": (
        model([helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(W)), node("Conv", "x w")]),
        "conv",
    ),
    "max, floor": (model([node("MaxPool", "x", **POOL, pads=[1, 1, 1, 1])], image=(4, 10, 10)), "maxpool"),
    "max, ceil_mode": (model([node("MaxPool", "x", **POOL, ceil_mode=1)], image=(4, 10, 10)), "maxpool"),
    "max, SAME_UPPER": (model([node("MaxPool", "x", **POOL, auto_pad="SAME_UPPER")], image=(4, 10, 10)), "maxpool"),
    "average that counts": (model([node("AveragePool", "x", **POOL, pads=[1] * 4, count_include_pad=1)]), "avgpool"),
    "average that does not": (model([node("AveragePool", "x", **POOL, pads=[1] * 4)]), "avgpool"),
    "average of a window larger than the image": (
        model([node("AveragePool", "x", kernel_shape=[11, 12], pads=[1, 1, 1, 2])]),
        "gap",
    ),
    "average, padded apart": (
        model([node("Pad", "x p", "q"), node("AveragePool", "q", **POOL)], p=np.array([0, 0, 1, 1, 0, 0, 1, 1])),
        "avgpool",
    ),
    "Pad of opset 10": (
        model([node("Pad", "x", "q", pads=[0, 0, 1, 1, 0, 0, 1, 1]), node("AveragePool", "q", **POOL)], 10),
        "avgpool",
    ),
    "channels of zeros": (model([node("Pad", "x p")], p=np.array([0, 2, 0, 0, 0, 2, 0, 0])), "channelpad"),
    "every second pixel": (
        model(
            [node("Slice", "x s e a t", "q"), node("Pad", "q p")],
            s=np.array([0, 0]),
            e=np.array([2**31, 2**31]),
            a=np.array([2, 3]),
            t=np.array([2, 2]),
            p=np.array([0, 0, 0, 0, 0, 4, 0, 0]),
        ),
        "channelpad",
    ),
    "Concat from behind": (model([node("Relu", "x", "r"), node("Concat", "x r", axis=-3)]), "relu concat"),
    "Sum of three": (model([node("Relu", "x", "r"), node("Sum", "x r r")]), "relu add"),
    "Softmax of opset 11": (model([FLAT, node("Softmax", "f")], 11), "flatten softmax"),
    "Softmax of opset 13": (model([FLAT, node("Softmax", "f")], 13), "flatten softmax"),
    "a Cast to the same": (MODELS["no_floats_inside"](), "flatten"),  # type: ignore[dict-item]
}


def lifted(folder: Path, proto: ModelProto) -> tuple[OnnxModel, LiftedModel]:
    path = folder / "foreign.onnx"
    path.write_bytes(proto.SerializeToString())
    model = read_model(path)
    return model, lift(model)


class Values:
    """Weights of a lifted model, as `lift` says."""

    def __init__(self, model: OnnxModel, lifted: LiftedModel) -> None:
        self.model, self.lifted = model, lifted

    def tensor(self, node: str, parameter: str) -> Array:
        graph = self.lifted.graph
        parameters = graph.parameters(graph[node])
        at = [one.name for one in parameters].index(parameter)
        weight = self.lifted.weights[node][at]
        values = self.model.tensors[weight.tensor].load()
        return np.ascontiguousarray((values.T if weight.transposed else values).reshape(parameters[at].shape))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_spelling_is_an_op_and_computes_the_same(spelling: str, tmp_path: Path) -> None:
    proto, ops = SPELLINGS[spelling]
    model, network = lifted(tmp_path, proto)
    assert " ".join(one.op.keyword for one in network.graph.nodes[1:]) == ops
    assert network.unused == ()
    own = write_onnx(network.graph, Values(model, network), tmp_path, OnnxOptions(opset=20))
    batch = proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 2
    data = RANDOM.standard_normal((batch, *network.graph.shapes[network.graph.inputs[0]])).astype(np.float32)
    assert error(on_onnxruntime(own.path, data), on_onnxruntime(tmp_path / "foreign.onnx", data)) < 1e-6


def test_weights_in_the_wrong_order_are_seen(tmp_path: Path) -> None:
    """The negative control of the comparison."""
    model, network = lifted(tmp_path, SPELLINGS["Gemm"][0])
    values = Values(model, network)
    values.tensor = lambda node, name: -Values.tensor(values, node, name)  # type: ignore[method-assign]
    own = write_onnx(network.graph, values, tmp_path)
    data = RANDOM.standard_normal((2, 4, 9, 9)).astype(np.float32)
    assert error(on_onnxruntime(own.path, data), on_onnxruntime(tmp_path / "foreign.onnx", data)) > 1e-2


def test_several_outputs_and_what_they_do_not_need(tmp_path: Path) -> None:
    nodes = [
        node("Relu", "x", "r"),
        node("Sigmoid", "r", "s"),
        node("HardSwish", "r", "dead"),
        node("MaxPool", "r", "m", **POOL),
    ]
    _, network = lifted(tmp_path, model(nodes, outputs=("s", "m")))
    assert network.graph.outputs == ("s", "m")
    assert network.unused == ("dead",)


REFUSED: dict[str, tuple[ModelProto, str]] = {
    "an unknown operator": (
        model([node("HardSwish", "x", "a"), node("Relu", "a")]),
        r"unsupported layer: HardSwish \(node a\)$",
    ),
    "another domain": (
        model([node("Relu", "x", domain="com.microsoft")]),
        r"unsupported layer: com\.microsoft\.Relu \(node y\)$",
    ),
    "an attribute of another opset": (
        model([node("Relu", "x"), node("Clip", "y", "z", min=0.0)], 11, outputs=("z",)),
        r"Clip \(node z\): opset 11 has no attribute min of this type",
    ),
    "an operator of a later opset": (model([node("Mish", "x")]), r"Mish \(node y\): opset 17 does not have it"),
    "inputs of a later opset": (
        model([node("Clip", "x l h")], 10, l=np.float32(0), h=np.float32(6)),
        "it limits values to -3.4",
    ),
    "uneven padding": (
        model([node("Conv", "x w", pads=[0, 0, 1, 1])], w=W),
        r"Conv \(node y\): a convolution with uneven padding",
    ),
    "a computed shape": (
        model([node("Shape", "x", "s"), node("Reshape", "x s")]),
        r"unsupported layer: Shape \(node s\)",
    ),
    "computed weights": (
        model([node("Relu", "w", "v"), node("Conv", "x v")], w=W),
        r"Relu \(node v\): it has other inputs",
    ),
    "training": (
        model([node("BatchNormalization", "x s b m v", training_mode=1)], **NORM),
        r"BatchNormalization \(node y\): a norm in training",
    ),
    "groups that are scaled": (
        model([node("GroupNormalization", "x s b", num_groups=2)], 18, s=floats(2), b=floats(2)),
        "it scales groups, not channels, before opset 21",
    ),
    "other limits": (
        model([node("Clip", "x l h")], l=np.float32(-1), h=np.float32(1)),
        r"it limits values to -1\.0 and 1\.0",
    ),
    "a reshape that mixes images": (model([node("Reshape", "x t")], t=np.array([1, -1])), r"its shape is \(1, -1\)"),
    "gelu by tanh": (model([node("Gelu", "x", approximate="tanh")], 20), "an approximation of gelu"),
    "a dropout in training": (
        model([node("Dropout", "x r t")], r=np.float32(0.5), t=np.array(True)),
        "a dropout in training",
    ),
    "a mean of channels": (model([node("ReduceMean", "x", axes=[1])]), "a mean over other axes than height and width"),
    "a mean of strange axes": (model([node("ReduceMean", "x", axes=[9])]), r"axes is \(9,\)"),
    "a flatten of other axes": (model([node("Flatten", "x", axis=2)]), "it flattens other axes"),
    "a squeeze of an image": (model([node("Squeeze", "x a")], a=np.array([2, 3])), "it removes other axes"),
    "a concat of rows": (model([node("Relu", "x", "r"), node("Concat", "x r", axis=2)]), "it joins other axes"),
    "a concat without an axis": (model([node("Relu", "x", "r"), node("Concat", "x r")]), "axis is None"),
    "a softmax of pixels": (model([node("Softmax", "x", axis=1)], 11), "a softmax over other axes than the channels"),
    "a product with an image": (model([node("Gemm", "x w", transB=1)], w=FC), "it multiplies no vector by a matrix"),
    "a product of other sizes": (model([FLAT, node("Gemm", "f w")], w=FC), "for 5 inputs, of which there are 324"),
    "a sequence": (model([node("Conv", "x w")], w=floats(6, 4, 3)), "over other axes than height and width"),
    "a window of no image": (model([FLAT, node("MaxPool", "f", **POOL)]), "its input is no image"),
    "a kernel and weights that differ": (
        model([node("Conv", "x w", kernel_shape=[1, 1])], w=W),
        r"its kernel is \(1, 1\), its weights are for \(3, 3\)",
    ),
    "a strange auto_pad": (model([node("Conv", "x w", auto_pad="SAME")], w=W), "auto_pad is SAME"),
    "a stride of zero": (model([node("MaxPool", "x", kernel_shape=[1, 1], strides=[0, 1])]), "is below 1"),
    "another blur": (
        model([node("Pad", "x p", "q", mode="reflect"), node("Conv", "q k", group=4)], p=PADS, k=floats(4, 1, 3, 3)),
        r"unsupported layer: Pad \(node q\)",
    ),
    "another gelu": (
        model(
            [node("Div", "x r", "d"), node("Erf", "d", "e"), node("Add", "e o", "a"), node("Mul", "x a", "m")],
            r=SQRT2,
            o=np.float32(1),
            outputs=("m",),
        ),
        r"unsupported layer: Div \(node d\)",
    ),
    "ones around an average": (
        model([node("Pad", "x p v", "q"), node("AveragePool", "q", **POOL)], p=PADS, v=np.float32(1)),
        r"unsupported layer: Pad \(node q\)",
    ),
    "a sequence of other channels": (
        model(
            [node("Reshape", "x t", "s"), node("Conv", "s w", "c"), node("Reshape", "c u")],
            t=np.array([0, 1, -1]),
            w=floats(1, 1, 3),
            u=np.array([0, -1, 1, 1]),
        ),
        r"unsupported layer: Reshape \(node s\)",
    ),
    "a norm of other groups": (
        model(
            [
                node("Reshape", "x t", "s"),
                node("InstanceNormalization", "s o z", "n"),
                node("Reshape", "n u", "i"),
                node("Mul", "i g", "m"),
                node("Add", "m b"),
            ],
            t=np.array([0, 2, -1]),
            o=np.array([1, 2], np.float32),
            z=np.zeros(2, np.float32),
            u=np.array([0, 4, 9, 9]),
            g=floats(4, 1, 1),
            b=floats(4, 1, 1),
        ),
        r"unsupported layer: Reshape \(node s\)",
    ),
    "a dilated pooling": (model([node("MaxPool", "x", **POOL, dilations=[2, 2])]), "a dilated pooling"),
    "a factor": (model([FLAT, node("Gemm", "f w", transB=1, alpha=0.5)], w=FC), "a product with a factor"),
    "weights of another shape": (model([node("Conv", "x w", group=2)], w=W), r"y has weights of the shapes"),
    "an old opset": (model([node("Relu", "x")], 6), r"its opset is 6; those from 7 to 28 are known"),
    "a sparse initializer": (model([node("Relu", "x")]), "sparse initializer"),
    "an input of any size": (
        model([node("Relu", "x")], image=(4, "H", "W")),
        r"its input 'x' is no batch of images: Nx4xHxW",
    ),
    "two inputs": (MODELS["two_inputs"](), "it has 2 inputs and 1 outputs"),  # type: ignore[dict-item]
    "an output that no node has": (model([node("Relu", "x", "r")]), "no node has the tensor 'y'"),
    "an input for an output": (model([node("Relu", "x")], outputs=("x",)), "the output x is not computed"),
    "a cycle": (model([node("Add", "x y", "a"), node("Relu", "a")]), r"Add \(node a\): y is not known"),
    "a tensor twice": (model([node("Relu", "x"), node("Relu", "x")]), "another tensor is called y"),
    "double numbers": (
        model([node("Conv", "x w")], w=W.astype(np.float64)),
        "it reads float64 in a network of float32",
    ),
    "control flow": (MODELS["branches"](), r"unsupported layer: If \(node y\)"),  # type: ignore[dict-item]
    "strings": (MODELS["strings"](), "is of type unknown, not float32 or float16"),  # type: ignore[dict-item]
    "a list of tensors": (MODELS["sequence"](), "is of type unknown, not float32 or float16"),  # type: ignore[dict-item]
    "a declared shape": (
        net(outputs=[helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 7])]),
        "declared as Nx7, and is Nx5",
    ),
}
REFUSED["a sparse initializer"][0].graph.sparse_initializer.add()


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    proto, message = REFUSED[case]
    with pytest.raises(Failure) as caught:
        lifted(tmp_path, proto)
    (problem,) = caught.value.problems
    assert exit_code(caught.value) is Exit.MODEL
    assert problem.message.startswith(f"{tmp_path / 'foreign.onnx'}: ")
    assert re.search(message, problem.message)
