"""The interpreter of a graph, and the formulas of its ops held against torch.

tests/formats/test_engines.py holds them against ONNX Runtime, onnx's evaluator and the definitions in tests/support.
"""

from __future__ import annotations

import weakref
from typing import Any, TypeAlias

import numpy as np
import pytest

from resnetgen.backends.interpreter import Interpreter
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.ir import ops
from resnetgen.ir.graph import Node
from resnetgen.ir.ops import Add, Conv, Float64, Input, Op, Relu, Sigmoid
from resnetgen.weights.source import Array
from support.helpers import bundled, cells, evaluate, graph, image, of_nodes, random_weights

BRANCHES = graph((3, 8, 7), a=(Conv((3, 3), 4), "data"), b=(Relu(), "a"), c=(Sigmoid(), "a"), d=(Add(), "a", "b", "c"))


def test_every_tensor() -> None:
    data, weights = image(BRANCHES, batch=2), random_weights(BRANCHES)
    found = Interpreter(BRANCHES, weights).run({"data": data})
    wanted = evaluate(BRANCHES, weights, data)
    assert found.keys() == wanted.keys()
    for name, values in found.items():
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, wanted[name], rtol=1e-12, atol=1e-12)


def test_tensors_that_are_asked_for() -> None:
    data, interpreter = image(BRANCHES), Interpreter(BRANCHES, random_weights(BRANCHES))
    whole = interpreter.run({"data": data})
    for asked in ((), ("d",), ("a", "c")):
        found = interpreter.run({"data": data}, asked)
        assert {*found} == {*asked}
        assert all((found[name] == whole[name]).all() for name in asked)


def test_a_tensor_is_freed_after_its_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a chain of ten, two are held at a time: the input and the output of the node that runs."""
    chain = of_nodes(
        Node("data", Input((3, 8, 8)), ()),
        *(Node(f"s/relu{n}", Relu(), (f"s/relu{n - 1}" if n else "data",)) for n in range(10)),
    )
    alive: list[int] = []
    held: list[Any] = []

    def compute(self: Relu, *inputs: Float64, **weights: Float64) -> Float64:
        out = np.maximum(inputs[0], 0)
        held.append(weakref.ref(out))
        alive.append(sum(one() is not None for one in held))
        return out

    monkeypatch.setattr(Relu, "compute", compute)
    Interpreter(chain, random_weights(chain)).run({"data": image(chain)}, chain.outputs)
    assert max(alive) == 2
    alive.clear()
    held.clear()
    Interpreter(chain, random_weights(chain)).run({"data": image(chain)})
    assert max(alive) == 10


def test_several_inputs() -> None:
    net = of_nodes(
        Node("x", Input((2, 3, 3)), ()), Node("y", Input((2, 3, 3)), ()), Node("sum", Add(), ("y", "x", "y"))
    )
    x, y = np.ones((1, 2, 3, 3)), np.full((1, 2, 3, 3), 2.0)
    assert (Interpreter(net, random_weights(net)).run({"x": x, "y": y}, ["sum"])["sum"] == 5).all()


def test_memory_that_does_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(self: Relu, *inputs: Float64, **weights: Float64) -> Float64:
        raise MemoryError("Unable to allocate 1. TiB")

    net = cells("relu")
    monkeypatch.setattr(Relu, "compute", compute)
    with pytest.raises(Failure, match="not enough memory for the reference: Unable to allocate") as caught:
        Interpreter(net, random_weights(net)).run({"data": image(net)})
    assert exit_code(caught.value) is Exit.LIMIT


def test_values_that_are_not_finite() -> None:
    """Overflow gives Inf without a warning, and NaN stays NaN."""
    net = cells("silu | relu", "1x1x3")
    data = np.array([[[[np.nan, -2000, 2000]]]], np.float32)
    (found,) = Interpreter(net, random_weights(net)).run({"data": data}, net.outputs).values()
    np.testing.assert_array_equal(found, [[[[np.nan, 0, 2000]]]])


def test_work_of_resnet_50(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node is computed once, by large matrix products: one a convolution and image."""
    net = bundled("resnet50")
    products: list[tuple[int, ...]] = []
    matmul = np.matmul

    def counted(a: Array, b: Array, **options: Any) -> Any:
        products.append(b.shape)
        return matmul(a, b, **options)

    monkeypatch.setattr(np, "matmul", counted)
    Interpreter(net, random_weights(net)).run({"data": image(net)}, net.outputs)
    assert len(products) == sum(isinstance(node.op, Conv) for node in net.nodes)


# torch

Make: TypeAlias = Any


def torch_cases() -> dict[str, tuple[Op, tuple[int, ...], Make]]:
    """Op, shape of its input with the batch, and the same as a function of torch of the input and the weights."""
    return {
        "conv": (
            Conv((3, 5), 6, (2, 1), 2, (2, 1), (3, 4), True),
            (2, 4, 11, 9),
            lambda F, x, w: F.conv2d(x, w["weight"], w["bias"], (2, 1), (3, 4), (2, 1), 2),
        ),
        "depthwise": (
            Conv((3, 3), 8, (2, 2), 4),
            (2, 4, 9, 8),
            lambda F, x, w: F.conv2d(x, w["weight"], None, 2, 1, 1, 4),
        ),
        "channelconv": (
            ops.ChannelConv(5),
            (2, 7, 1, 1),
            lambda F, x, w: F.conv1d(x[:, :, 0].transpose(1, 2), w["weight"], padding=2).transpose(1, 2)[..., None],
        ),
        "fc": (ops.Fc(3), (2, 4, 2, 3), lambda F, x, w: F.linear(x.flatten(1), w["weight"], w["bias"])),
        "batchnorm": (
            ops.BatchNorm(0.01),
            (2, 4, 3, 3),
            lambda F, x, w: F.batch_norm(x, w["mean"], w["variance"], w["gamma"], w["beta"], eps=0.01),
        ),
        "groupnorm": (
            ops.GroupNorm(2, 0.01),
            (2, 4, 3, 3),
            lambda F, x, w: F.group_norm(x, 2, w["gamma"], w["beta"], 0.01),
        ),
        "lrn": (
            ops.Lrn(3, 0.5, 0.6, 2.0),
            (2, 6, 3, 3),
            lambda F, x, w: F.local_response_norm(x, 3, 0.5, 0.6, 2.0),
        ),
        "relu": (Relu(), (2, 3, 4, 4), lambda F, x, w: F.relu(x)),
        "leakyrelu": (ops.LeakyRelu(0.3), (2, 3, 4, 4), lambda F, x, w: F.leaky_relu(x, 0.3)),
        "relu6": (ops.Relu6(), (2, 3, 4, 4), lambda F, x, w: F.relu6(x)),
        "silu": (ops.Silu(), (2, 3, 4, 4), lambda F, x, w: F.silu(x)),
        "mish": (ops.Mish(), (2, 3, 4, 4), lambda F, x, w: F.mish(x)),
        "gelu": (ops.Gelu(), (2, 3, 4, 4), lambda F, x, w: F.gelu(x)),
        "sigmoid": (Sigmoid(), (2, 3), lambda F, x, w: F.sigmoid(x)),
        "softmax": (ops.Softmax(), (2, 3, 4, 4), lambda F, x, w: F.softmax(x, 1)),
        "maxpool": (
            ops.MaxPool((3, 2), (2, 2), (1, 0)),
            (2, 3, 9, 8),
            lambda F, x, w: F.max_pool2d(x, (3, 2), 2, (1, 0)),
        ),
        "avgpool": (
            ops.AvgPool((3, 3), (2, 2), (1, 1), exclude_pad=True),
            (2, 3, 9, 8),
            lambda F, x, w: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        ),
        "avgpool, ceil": (
            ops.AvgPool((4, 4), (3, 3), (1, 1), ceil=True),
            (2, 3, 10, 9),
            lambda F, x, w: F.avg_pool2d(x, 4, 3, 1, ceil_mode=True),
        ),
        "gap": (ops.GlobalAvgPool(), (2, 3, 5, 4), lambda F, x, w: F.adaptive_avg_pool2d(x, 1)),
        "channelpad": (
            ops.ChannelPad(7, (2, 2), both=True),
            (2, 4, 5, 5),
            lambda F, x, w: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2)),
        ),
        "flatten": (ops.Flatten(), (2, 3, 2, 4), lambda F, x, w: x.flatten(1)),
    }


@pytest.mark.torch
@pytest.mark.parametrize("case", sorted(torch_cases()))
def test_formulas_on_torch(case: str) -> None:
    import torch
    import torch.nn.functional as functional

    op, shape, make = torch_cases()[case]
    random = np.random.default_rng(0)
    x = 3 * random.standard_normal(shape)
    weights = {p.name: random.uniform(0.5, 1.5, p.shape) for p in op.parameters(shape[1:])}
    own = {name: torch.from_numpy(values) for name, values in weights.items()}
    wanted = make(functional, torch.from_numpy(x), own).numpy()
    found = op.compute(x, **weights)
    assert found.shape == wanted.shape == (2, *op.shape(shape[1:]))
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)
