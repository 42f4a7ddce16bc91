"""Checkpoints as the weights of a spec: what does not fit, and what shapes do not tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.network import Network, compile_spec
from resnetgen.pretrained.pretrained import CheckpointSource, load_pretrained, weight_namings
from resnetgen.weights.initialise import Initialised
from resnetgen.weights.names import load_name_map
from resnetgen.wire.dtypes import Values
from support.checkpoints import load, tensors, write
from support.helpers import random_weights, write_caffe

# What does not fit


def without(values: dict[str, Values], name: str) -> dict[str, Values]:
    return {key: one for key, one in values.items() if key != name}


MISFITS: dict[str, tuple[Callable[[dict[str, Values]], dict[str, Values]], tuple[str, ...]]] = {
    "missing": (
        lambda v: without(v, "conv2_x/1/main/conv2.weight"),
        (
            "1 missing",
            "conv2.weight, 2x2x3x3 (the weight of conv2_x/1/main/conv2, tiny.yaml:8)",
        ),
    ),
    "unexpected": (
        lambda v: v | {"aux.weight": np.ones((2, 3), np.float32)},
        ("1 unexpected", "unexpected: aux.weight, 2x3"),
    ),
    "shape": (
        lambda v: v | {"head/fc.weight": np.ones((7, 8), np.float32), "head/fc.bias": np.ones(7, np.float32)},
        (": 2 of another shape\n", "head/fc.weight is 7x8, not 4x8", "--reinit head"),
    ),
    "transposed": (
        lambda v: v | {"head/fc.weight": v["head/fc.weight"].T.copy()},
        ("head/fc.weight is 8x4, not 4x8",),
    ),
    "no bias": (lambda v: without(v, "conv1/conv1.bias"), ("its layers have no bias: remove `bias` from these rows",)),
    "folded": (
        lambda v: {k: one for k, one in v.items() if "/norm" not in k},
        ("its norms may be folded", "--no-fold", "missing: and"),
    ),
    "folded, its biases unexpected": (
        lambda v: {k: one for k, one in v.items() if "/norm" not in k} | {"conv2_x/0/main/conv1.bias": np.ones(2)},
        ("1 unexpected", "its norms may be folded", "--no-fold"),
    ),
    "strangers": (
        lambda v: {f"net.{i}": one for i, one in enumerate(v.values())},
        ("none of its names is known, such as net.0, net.1, net.2", "resnetgen weights show"),
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_listed(case: str, tiny: Network, tmp_path: Path) -> None:
    change, said = MISFITS[case]
    path = write(tmp_path / "a.safetensors", change(tensors(tiny.graph, random_weights(tiny.graph))))
    with pytest.raises(Failure) as caught:
        load(path, tiny)
    assert exit_code(caught.value) is Exit.MODEL
    for words in said:
        assert words in str(caught.value)


def test_the_spec_that_a_file_fits_is_named(tmp_path: Path) -> None:
    """torchvision's ResNet-50 has no bias in its first convolution."""
    network = compile_spec("torchvision/resnet50")
    (naming,) = (one for one in weight_namings(network.spec, network.graph) if one.convention == "torchvision")
    weights = Initialised(network.graph)
    path = write(tmp_path / "a", {name: weights.tensor(*key) for name, key in naming.names.items()})
    with pytest.raises(Failure, match="hint: it fits the bundled spec torchvision/resnet50"):
        load(path, compile_spec("resnet50"))


def test_a_prefix_of_all_names_is_named(tiny: Network, tmp_path: Path) -> None:
    values = tensors(tiny.graph, random_weights(tiny.graph))
    path = write(tmp_path / "a", {f"backbone.{name}": one for name, one in values.items()})
    with pytest.raises(Failure, match=r"hint: all its names begin with 'backbone\.': save its tensors"):
        load(path, tiny)


def test_axes_of_one_are_taken_off(tiny: Network, tmp_path: Path) -> None:
    """A library may store a matrix as a convolution of 1x1: its values are returned in the network's shape."""
    own = tensors(tiny.graph, random_weights(tiny.graph))
    weights = load(write(tmp_path / "a", own | {"head/fc.weight": own["head/fc.weight"].reshape(4, 8, 1, 1)}), tiny)
    for found in (weights.stored("head/fc", "weight"), weights.tensor("head/fc", "weight")):
        assert np.array_equal(found, own["head/fc.weight"])
        assert found.shape == (4, 8)


def test_counters_of_norms_are_no_weights(tiny: Network, tmp_path: Path) -> None:
    values = tensors(tiny.graph, random_weights(tiny.graph)) | {"x.num_batches_tracked": np.array(3, np.int64)}
    load(write(tmp_path / "a.safetensors", values), tiny)


def test_a_stage_can_be_drawn_anew(tiny: Network, tmp_path: Path) -> None:
    """With another head in the file, or with none."""
    own = tensors(tiny.graph, random_weights(tiny.graph))
    other = own | {"head/fc.weight": np.ones((7, 8), np.float32)}
    for number, values in enumerate((other, without(own, "head/fc.weight"))):
        weights = load(write(tmp_path / f"{number}", values), tiny, reinit=("head",))
        assert (weights.tensor("conv1/conv1", "weight") == own["conv1/conv1.weight"]).all()
        assert (weights.tensor("head/fc", "weight") == Initialised(tiny.graph, 7).tensor("head/fc", "weight")).all()
    with pytest.raises(Failure, match="no stage 'haed'") as caught:
        load(tmp_path / "0", tiny, reinit=("haed",))
    assert exit_code(caught.value) is Exit.USAGE


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad: float, tiny: Network, tmp_path: Path) -> None:
    values = tensors(tiny.graph, random_weights(tiny.graph))
    values["head/fc.bias"][2] = bad
    path = write(tmp_path / "a.safetensors", values)
    with pytest.raises(Failure, match=r"'head/fc.bias', bytes .* is not finite: element 2") as caught:
        load(path, tiny).tensor("head/fc", "bias")
    assert exit_code(caught.value) is Exit.MODEL
    assert not np.isfinite(load(path, tiny, allow_nonfinite=True).tensor("head/fc", "bias")).all()


def test_what_a_float32_cannot_hold(tiny: Network, tmp_path: Path) -> None:
    values: dict[str, Values] = dict(tensors(tiny.graph, random_weights(tiny.graph)))
    values["head/fc.bias"] = np.array([1, 2, 1e300, 4])
    with pytest.raises(Failure, match="element 2 is inf"):
        load(write(tmp_path / "a.safetensors", values), tiny).tensor("head/fc", "bias")


# Names and provenance


def test_the_naming_that_fits_best_is_taken(tmp_path: Path) -> None:
    network = compile_spec("timm/resnet50d")
    (naming,) = (one for one in weight_namings(network.spec, network.graph) if one.convention == "timm")
    weights = random_weights(network.graph)
    path = write(tmp_path / "a", {name: weights.tensor(*key) for name, key in naming.names.items()})
    found = load_pretrained(CheckpointSource(path), network.spec, network.graph, weights)
    assert found.naming.convention == "timm"
    assert found.warnings == ()


def warned(word: str, convention: str, folder: Path) -> list[str]:
    network = compile_spec(word)
    (naming,) = (one for one in weight_namings(network.spec, network.graph) if one.convention == convention)
    weights = random_weights(network.graph)
    path = write(folder / "a", {name: weights.tensor(*key) for name, key in naming.names.items()})
    return list(load_pretrained(CheckpointSource(path), network.spec, network.graph, weights).warnings)


def test_other_conventions_are_warned_of(tmp_path: Path) -> None:
    """torchvision's weights in the Caffe authors' table: every shape agrees."""
    stride, pool, color = warned("resnet101", "torchvision", tmp_path)
    assert "takes the stride of a bottleneck on its conv1, not on its conv2" in stride
    assert "(resnet50.yaml:" in stride
    assert "pads the stem's pooling by 0, not 1" in pool
    assert "sees images as bgr, not rgb" in color


def test_a_caffemodel_says_itself_how_it_is_made(tmp_path: Path) -> None:
    """torchvision's ResNet-101 under the Caffe authors' names: every shape agrees with theirs."""
    own, other = compile_spec("torchvision/resnet101"), compile_spec("resnet101")
    weights = random_weights(own.graph)
    model = write_caffe(own.graph, weights, tmp_path, own.names)
    source = CheckpointSource(model.caffemodel)
    assert load_pretrained(source, own.spec, own.graph, weights).warnings == ()
    pool, first, second, more = load_pretrained(source, other.spec, other.graph, weights).warnings
    said = "net0.caffemodel was built otherwise: "
    assert pool.startswith(f"{said}pool1 (resnet50.yaml:")
    assert pool.endswith("): pad 1 there, 0 in the spec; round_mode FLOOR there, CEIL in the spec")
    assert first.startswith(f"{said}res3a_branch2a (resnet50.yaml:")
    assert first.endswith("): stride 1 there, 2 in the spec")
    assert second.startswith(f"{said}res3a_branch2b (resnet50.yaml:")
    assert second.endswith("): stride 2 there, 1 in the spec")
    assert more == "and 4 layers more are built otherwise"


def test_own_conventions_are_not(tmp_path: Path) -> None:
    assert warned("torchvision/resnet50", "torchvision", tmp_path) == []


def test_every_convention_is_of_a_map_that_says_it() -> None:
    from resnetgen.weights.provenance import conventions

    for name, word in (("torchvision", "torchvision/resnet50"), ("msra", "resnet50")):
        network = compile_spec(word)
        color = network.spec.preprocess.color.value if network.spec.preprocess else None
        own = {key: one.value for key, one in conventions(network.graph, color).items()}
        assert own == load_name_map(name).conventions
