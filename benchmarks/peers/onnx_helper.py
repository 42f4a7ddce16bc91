"""ResNet-50 by hand: what `resnetgen build resnet50` makes, as a script of onnx's own helpers would make it.

The same nodes and weights under the same names. The weights are He's, as ours are before norms are folded into them;
here there is nothing to fold. It draws in float32, copies each tensor once (into the message), and saves in one go. It
does less than ours: no hash, no sync, no look at what was written, no shapes of the tensors inside.
"""

from math import prod, sqrt
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STAGES = (("conv2_x", 3, 64, 1), ("conv3_x", 4, 128, 2), ("conv4_x", 6, 256, 2), ("conv5_x", 3, 512, 2))
"""Name, blocks, width, stride."""

random = np.random.default_rng(0)
nodes: list[onnx.NodeProto] = []
initializers: list[onnx.TensorProto] = []


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
    nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
    return output


def parameters(name: str, *shape: int) -> list[str]:
    weight = random.standard_normal(shape, np.float32)
    weight *= np.float32(sqrt(2 / prod(shape[1:])))
    bias = np.zeros(shape[0], np.float32)
    for array, end in ((weight, "weight"), (bias, "bias")):
        initializers.append(numpy_helper.from_array(array, f"{name}.{end}"))
    return [f"{name}.weight", f"{name}.bias"]


def conv(source: str, name: str, into: int, out: int, kernel: int, stride: int) -> str:
    inputs = [source, *parameters(name, out, into, kernel, kernel)]
    return node("Conv", inputs, name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4)


def block(source: str, name: str, into: int, width: int, stride: int) -> str:
    out = 4 * width
    shortcut = conv(source, f"{name}/shortcut/conv1", into, out, 1, stride) if into != out else source
    x = node("Relu", [conv(source, f"{name}/main/conv1", into, width, 1, stride)], f"{name}/main/act1")
    x = node("Relu", [conv(x, f"{name}/main/conv2", width, width, 3, 1)], f"{name}/main/act2")
    x = conv(x, f"{name}/main/conv3", width, out, 1, 1)
    return node("Relu", [node("Add", [shortcut, x], f"{name}/add")], f"{name}/act")


x = node("Relu", [conv("input", "conv1/conv1", 3, 64, 7, 2)], "conv1/act1")
x = node("MaxPool", [x], "conv2_x/maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
channels = 64
for name, blocks, width, stride in STAGES:
    for i in range(blocks):
        x = block(x, f"{name}/{i}", channels, width, stride if i == 0 else 1)
        channels = 4 * width
x = node("AveragePool", [x], "head/avgpool", kernel_shape=[7, 7])
x = node("Flatten", [x], "head/fc/flat", axis=1)
x = node("Gemm", [x, *parameters("head/fc", 1000, 2048)], "head/fc", transB=1)
node("Softmax", [x], "output", axis=1)

graph = helper.make_graph(
    nodes,
    "ResNet-50",
    [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
    [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", 1000])],
    initializers,
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "resnet50.onnx")
