"""Seeded initialisation."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from math import prod, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import onnx
import pytest

from resnetgen.ir.graph import Graph
from resnetgen.weights.draw import Drawing, keys
from resnetgen.weights.initialise import Init, Initialised
from resnetgen.weights.normal import normal
from resnetgen.weights.source import Array, Key, WeightSource, checksum
from support.helpers import bundled, cells, compile_text, image, on_onnxruntime, random_weights, write_caffe, write_onnx
from support.places import TESTS

NET = "conv 3x3, 16, C=2, bias | batchnorm | conv 5x3, 64 | batchnorm | relu | gap | fc 100"


def net() -> Graph:
    return cells(NET, "32x16x16")


def digest(weights: WeightSource, order: Iterable[Key]) -> str:
    """Of all tensors by name, drawn in this order."""
    drawn = {key: weights.tensor(*key).tobytes() for key in order}
    return hashlib.sha256(b"".join(drawn[key] for key in sorted(drawn))).hexdigest()


# Values


@pytest.mark.parametrize("init", list(Init))
@pytest.mark.parametrize(
    ("node", "shape", "fan_in"),
    [
        ("s/conv", (16, 16, 3, 3), 16 * 3 * 3),  # each output sees one group of the channels
        ("s/conv2", (64, 16, 5, 3), 16 * 5 * 3),
        ("s/fc", (100, 64), 64),
    ],
)
def test_weights_have_the_paper_s_deviation(node: str, shape: tuple[int, ...], fan_in: int, init: Init) -> None:
    """He et al. 2015, equation 10: sqrt(2 / fan_in); within four standard errors."""
    values = Initialised(net(), 0, init).tensor(node, "weight")
    assert values.shape == shape
    wanted, count = sqrt(2 / fan_in), prod(shape)
    assert abs(values.std() / wanted - 1) < 4 / sqrt(2 * count)
    assert abs(values.mean()) < 4 * wanted / sqrt(count)
    assert abs((values > 0).mean() - 0.5) < 2 / sqrt(count)
    # Negative control: fan_out, as torchvision has it, is another number.
    fan_out = shape[0] * prod(shape[2:])
    if fan_out != fan_in:
        assert abs(values.std() / sqrt(2 / fan_out) - 1) > 0.1


def test_he_norms_expect_their_input() -> None:
    """The convolution before this norm doubles the second moment of a standard normal image."""
    weights = Initialised(net(), 3)
    for name, value in (("gamma", 1), ("beta", 0), ("mean", 0), ("variance", 2)):
        assert (weights.tensor("s/batchnorm", name) == value).all()
    assert not weights.tensor("s/conv", "bias").any()
    assert not weights.tensor("s/fc", "bias").any()


def test_random_stats_differ_everywhere() -> None:
    """Whatever two tensors are exchanged, it shows; and no variance is zero."""
    graph = bundled("resnet50")
    weights = random_weights(graph)
    found: dict[bytes, tuple[str, str]] = {}
    for node in graph.nodes:
        for parameter in graph.parameters(node):
            if parameter.name != "weight":
                values = weights.tensor(node.name, parameter.name)
                assert np.isfinite(values).all()
                assert found.setdefault(values.tobytes(), (node.name, parameter.name)) == (node.name, parameter.name)
                assert values.std() > 0
                if parameter.name == "variance":
                    assert values.min() > 0
    assert len(found) == 53 * 4 + 2  # the norms', and the biases of conv1 and fc


@pytest.mark.parametrize("init", list(Init))
def test_every_tensor_is_as_targets_want_it(init: Init) -> None:
    weights = Initialised(net(), 0, init)
    for node in net().nodes:
        for parameter in net().parameters(node):
            values = weights.tensor(node.name, parameter.name)
            assert (values.dtype, values.shape) == (np.float32, parameter.shape)
            assert values.flags.c_contiguous
            assert values.flags.writeable


# Seeds and bytes


def test_seeds() -> None:
    graph = net()
    digests = {digest(Initialised(graph, seed, init), keys(graph)) for seed in (0, 1, 2**63, -1) for init in Init}
    assert len(digests) == 8
    assert digest(Initialised(graph, 1), keys(graph)) == digest(Initialised(net(), 1), keys(graph))


def test_order_and_threads_do_not_matter() -> None:
    graph = net()
    order = list(keys(graph))
    wanted = digest(random_weights(graph), order)
    shuffled = random.Random(1).sample(order, len(order))
    assert digest(random_weights(graph), shuffled) == wanted
    assert digest(random_weights(graph), [*order[::-1], *order]) == wanted  # twice
    weights = random_weights(graph)
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda key: weights.tensor(*key).tobytes(), shuffled))
    assert dict(zip(shuffled, drawn, strict=True)) == {key: weights.tensor(*key).tobytes() for key in order}


def test_a_tensor_depends_on_its_place_and_on_nothing_else() -> None:
    """A longer network has the same weights where it is the same."""
    short, long = cells("conv 3x3, 8", "3x9x9"), cells("conv 3x3, 8 | relu | conv 3x3, 8", "3x9x9")
    first, second = Initialised(short), Initialised(long)
    assert np.array_equal(first.tensor("s/conv", "weight"), second.tensor("s/conv", "weight"))
    again = cells("conv 3x3, 8 | relu | conv 3x3, 8", "8x9x9")
    two = Initialised(again)
    assert not np.array_equal(two.tensor("s/conv", "weight"), two.tensor("s/conv2", "weight"))


OTHER_PROCESS = """
import sys
sys.path[:0] = sys.argv[1:]
from test_weights import *
print(digest(random_weights(net()), keys(net())))
"""


@pytest.mark.parametrize("hash_seed", ["0", "1234"])
def test_another_process_draws_the_same(hash_seed: str) -> None:
    command = [sys.executable, "-c", OTHER_PROCESS, str(Path(__file__).parent), str(TESTS)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == digest(random_weights(net()), keys(net()))


def test_drawing_keeps_the_order_and_the_sums() -> None:
    graph = net()
    weights = random_weights(graph)
    found = list(Drawing(weights, keys(graph)))
    assert [key for key, _, _ in found] == list(keys(graph))
    for key, values, check in found:
        assert np.array_equal(values, weights.tensor(*key))
        assert check == checksum(values)
    assert len({check for _, _, check in found}) == len(found)


def test_drawing_more_than_it_may_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors larger than all that may be drawn ahead, one after another."""
    monkeypatch.setattr("resnetgen.weights.draw._AHEAD", 100)
    graph = net()
    assert [key for key, _, _ in Drawing(random_weights(graph), keys(graph))] == list(keys(graph))


def test_only_so_much_is_drawn_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of 40 bytes, of which 100 may be ahead: two, whether few or many have been asked for."""
    drawn: list[str] = []

    class Counted:
        def tensor(self, node: str, parameter: str) -> Array:
            drawn.append(node)
            return np.zeros(10, np.float32)

    class AtOnce(ThreadPoolExecutor):
        """Draws what it is given before it goes on."""

        def submit(self, *work: Any, **more: Any) -> Any:
            done = super().submit(*work, **more)
            done.result()
            return done

    monkeypatch.setattr("resnetgen.weights.draw._AHEAD", 100)
    monkeypatch.setattr("resnetgen.weights.draw.ThreadPoolExecutor", AtOnce)
    drawing = Drawing(Counted(), {(f"{number}", "weight"): (10,) for number in range(20)})
    assert len(drawn) == 2
    for number, (key, _, _) in enumerate(drawing, 1):
        assert key == (f"{number - 1}", "weight")
        assert len(drawn) == min(20, number + 2)


def test_drawing_stops_at_an_error() -> None:
    class Broken:
        def tensor(self, node: str, parameter: str) -> Array:
            raise OSError(f"{node}.{parameter} is gone")

    with pytest.raises(OSError, match=r"s/conv.weight is gone"):
        list(Drawing(Broken(), keys(net())))


# What flows through a deep network

DEEP = """
extends: resnet152
names: null
input: 3x64x64
stages:
  conv1:   {size: 32x32}
  conv2_x: {size: 16x16, block: "[1x1, 8; 3x3, 8; 1x1, 32]"}
  conv3_x: {size: 8x8, block: "[1x1, 16; 3x3, 16; 1x1, 64]"}
  conv4_x: {size: 4x4, block: "[1x1, 32; 3x3, 32; 1x1, 128]"}
  conv5_x: {size: 2x2, block: "[1x1, 64; 3x3, 64; 1x1, 256]"}
  head:    1x1 | gap | fc $classes | softmax
"""


@pytest.mark.parametrize("fold", [False, True])
def test_activations_neither_vanish_nor_explode(fold: bool, tmp_path: Path) -> None:
    """All of ResNet-152's 50 blocks, an eighth as wide, with random statistics: the deviation of every layer.

    Measured: 0.27 to 7.7; at full width 0.39 to 8.1.
    """
    graph = compile_text(DEEP)
    model = write_onnx(graph, random_weights(graph), tmp_path, fold=fold)
    proto = onnx.load(str(model.path))
    proto.graph.output.extend(proto.graph.value_info)
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"input": image(graph, batch=2)}), strict=True))
    output = found.pop("output")
    deviations = {name: float(values.std()) for name, values in found.items()}
    assert len(deviations) > 350
    assert min(deviations.values()) > 1e-1, min(deviations, key=lambda name: deviations[name])
    assert max(deviations.values()) < 3e1, max(deviations, key=lambda name: deviations[name])
    # A softmax that is all one class would hide what went wrong before it.
    assert 1 / 1000 < output.max() < 0.5
    # And it looks at its input: two images, two answers.
    assert np.abs(output[0] - output[1]).max() / output.max() > 1e-3


def test_the_same_bytes_in_files(tmp_path: Path) -> None:
    graph = cells(NET, "4x8x8")
    a, b, other = (write_onnx(graph, random_weights(graph, seed), tmp_path).path for seed in (0, 0, 1))
    assert a.read_bytes() == b.read_bytes() != other.read_bytes()
    assert not np.array_equal(on_onnxruntime(other, image(graph)), on_onnxruntime(a, image(graph)))
    c, d, other = (write_caffe(graph, random_weights(graph, seed), tmp_path).caffemodel for seed in (0, 0, 1))
    assert c.read_bytes() == d.read_bytes() != other.read_bytes()


def test_values_are_normally_distributed() -> None:
    """Against the standard library's own quantiles; a uniform distribution of the same deviation is far off."""
    values = np.sort(normal(np.random.SFC64(7), 1 << 20, 3.0).astype(np.float64))
    assert (abs(values.mean()) < 0.01, abs(values.std() - 3) < 0.01) == (True, True)
    chances = np.linspace(0.001, 0.999, 999)
    wanted = np.array([NormalDist(0, 3).inv_cdf(chance) for chance in chances])
    at = (chances * values.size).astype(int)
    assert np.abs(values[at] - wanted).max() < 0.1
    uniform = np.sort(np.random.default_rng(7).uniform(-3 * 3**0.5, 3 * 3**0.5, values.size))
    assert np.abs(uniform[at] - wanted).max() > 1
