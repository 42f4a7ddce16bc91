"""Checkpoints as the weights of a spec: round trips bit for bit, what does not fit, what shapes do not tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from resnetgen.build.convert import convert
from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.errors import Exit, Failure
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.ir.graph import Graph
from resnetgen.network import Network, compile_spec
from resnetgen.pretrained import CheckpointSource, load_pretrained, weight_namings
from resnetgen.progress import Quiet
from resnetgen.verification import Settings
from resnetgen.verification.spec import Verified, verify_files
from resnetgen.weights.assign import AssignedWeights
from resnetgen.weights.checkpoint import Head, open_checkpoint, write_checkpoint
from resnetgen.weights.draw import keys
from resnetgen.weights.initialise import Init, Initialised
from resnetgen.weights.names import load_name_map
from resnetgen.weights.source import WeightSource
from resnetgen.wire.dtypes import Values
from support.helpers import random_weights, write_caffe, write_onnx

ROUND_TRIPS = ["resnet18", pytest.param("resnet50", marks=pytest.mark.zoo), "resnet20_cifar"]

NET = """
use: std
name: tiny
input: 3x16x16
params: {classes: 4}
stages:
  conv1: 3x3, 4, bias
  conv2_x: "[1x1, 2; 3x3, 2; 1x1, 8] x2 /2"
  head: gap | groupnorm 2 | channelconv | fc $classes
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(NET)
    return compile_spec("tiny.yaml")


def tensors(graph: Graph, weights: WeightSource) -> dict[str, Values]:
    """All weights by the paths of their nodes."""
    return {f"{node}.{parameter}": weights.tensor(node, parameter) for node, parameter in keys(graph)}


def write(path: Path, values: dict[str, Values], format: str = "safetensors") -> Path:
    heads = {name: Head(one.dtype.name, one.shape) for name, one in values.items()}
    write_checkpoint(path, format, heads, values.items())
    return path


def load(path: Path, network: Network, **options: object) -> AssignedWeights:
    fresh = Initialised(network.graph, 7)
    return load_pretrained(CheckpointSource(path, **options), network.spec, network.graph, fresh).weights  # type: ignore[arg-type]


def same(found: WeightSource, wanted: WeightSource, graph: Graph) -> bool:
    return all(found.tensor(*key).tobytes() == wanted.tensor(*key).tobytes() for key in keys(graph))


# Round trips


@pytest.mark.parametrize("format", ["safetensors", "npz"])
@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_round_trip_by_paths(name: str, format: str, tmp_path: Path) -> None:
    network = compile_spec(name)
    weights = random_weights(network.graph)
    path = write(tmp_path / "weights", tensors(network.graph, weights), format)
    assert same(load(path, network), weights, network.graph)


@pytest.mark.parametrize("dialect", [Dialect.BVLC, Dialect.OPENCV])
@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_round_trip_by_caffemodel(name: str, dialect: Dialect, tmp_path: Path) -> None:
    network = compile_spec(name)
    weights = random_weights(network.graph)
    model = write_caffe(network.graph, weights, tmp_path, network.names, dialect=dialect)
    assert same(load(model.caffemodel, network), weights, network.graph)


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_round_trip_by_onnx(name: str, tmp_path: Path) -> None:
    network = compile_spec(name)
    weights = random_weights(network.graph)
    model = write_onnx(network.graph, weights, tmp_path)
    assert same(load(model.path, network), weights, network.graph)


def test_round_trip_by_a_model_that_takes_bytes(tmp_path: Path) -> None:
    network = compile_spec("resnet20_cifar")
    options = Options(embed_preprocess=True, fold=False, output_dir=tmp_path)
    (built,) = build(["resnet20_cifar"], options)
    path = next(path for path in built.files if path.suffix == ".onnx")
    assert same(load(path, network), Initialised(network.graph), network.graph)


def test_round_trip_of_every_kind_of_weight(tiny: Network, tmp_path: Path) -> None:
    """A groupnorm's and a channelconv's have other shapes in the files."""
    weights = random_weights(tiny.graph)
    for path in (write_onnx(tiny.graph, weights, tmp_path).path, write_caffe(tiny.graph, weights, tmp_path).caffemodel):
        assert same(load(path, tiny), weights, tiny.graph)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_round_trip_by_torch(name: str, tmp_path: Path) -> None:
    """torchvision's own file -> caffemodel -> safetensors by torchvision's names, which torch reads."""
    import torch

    from support.oracle import torchvision_models

    model = getattr(torchvision_models(), name)()
    torch.save(model.state_dict(), tmp_path / "a.pth")
    spec = f"torchvision/{name}"
    convert(CheckpointSource(tmp_path / "a.pth"), tmp_path / "b.caffemodel", spec, {}, None, Quiet())
    done = convert(
        CheckpointSource(tmp_path / "b.caffemodel"), tmp_path / "c.safetensors", spec, {}, "torchvision", Quiet()
    )
    assert done.names == "torchvision's names"
    from safetensors.torch import load_file

    found = load_file(tmp_path / "c.safetensors")
    state = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.torch
@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_round_trip_by_pth(name: str, tmp_path: Path) -> None:
    import torch

    network = compile_spec(name)
    weights = random_weights(network.graph)
    state = {key: torch.from_numpy(one) for key, one in tensors(network.graph, weights).items()}
    torch.save(state, tmp_path / "a.pth")
    assert same(load(tmp_path / "a.pth", network), weights, network.graph)


# Types


@pytest.mark.parametrize("dtype", ["float16", "float64", "float32"])
def test_types_are_kept_where_the_target_has_them(dtype: str, tiny: Network, tmp_path: Path) -> None:
    values = {name: one.astype(dtype) for name, one in tensors(tiny.graph, random_weights(tiny.graph)).items()}
    path = write(tmp_path / "a.npz", values, "npz")
    weights = load(path, tiny)
    for node, parameter in keys(tiny.graph):
        found = weights.tensor(node, parameter)
        assert found.dtype == np.float32
        assert (found == values[f"{node}.{parameter}"].astype(np.float32)).all()
    convert(CheckpointSource(path), tmp_path / "b.safetensors", "tiny.yaml", {}, None, Quiet())
    written = open_checkpoint(tmp_path / "b.safetensors")
    assert all(written.array(name).tobytes() == one.tobytes() for name, one in values.items())
    assert {entry.dtype for entry in written.tensors.values()} == {dtype}


@pytest.mark.torch
def test_bfloat16_is_exact(tiny: Network, tmp_path: Path) -> None:
    import torch

    values = tensors(tiny.graph, random_weights(tiny.graph))
    state = {name: torch.from_numpy(one).to(torch.bfloat16) for name, one in values.items()}
    torch.save(state, tmp_path / "a.pth")
    weights = load(tmp_path / "a.pth", tiny)
    for node, parameter in keys(tiny.graph):
        assert (weights.tensor(node, parameter) == state[f"{node}.{parameter}"].float().numpy()).all()


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
    assert caught.value.exit is Exit.MODEL
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
    assert caught.value.exit is Exit.USAGE


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad: float, tiny: Network, tmp_path: Path) -> None:
    values = tensors(tiny.graph, random_weights(tiny.graph))
    values["head/fc.bias"][2] = bad
    path = write(tmp_path / "a.safetensors", values)
    with pytest.raises(Failure, match=r"'head/fc.bias', bytes .* is not finite: element 2") as caught:
        load(path, tiny).tensor("head/fc", "bias")
    assert caught.value.exit is Exit.MODEL
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


# Verifying


@pytest.mark.parametrize("on", [(), pytest.param(("opencv",), marks=pytest.mark.opencv)], ids=["default", "opencv"])
def test_the_reference_takes_the_same_checkpoint(tiny: Network, tmp_path: Path, on: tuple[str, ...]) -> None:
    own = tensors(tiny.graph, random_weights(tiny.graph))
    path = write(tmp_path / "a.npz", own, "npz")
    options = Options(targets=("onnx", "caffe"), pretrained=CheckpointSource(path), output_dir=tmp_path)
    build(["tiny.yaml"], options)
    given = Verified("tiny.yaml", on, output_dir=tmp_path, checkpoint=path)
    assert verify_files(given, Settings()).passed
    with pytest.raises(Failure, match=r"hold the weights of a\.npz, which the reference needs") as caught:
        verify_files(replace(given, checkpoint=None), Settings())
    assert caught.value.exit is Exit.VERIFICATION
    other = write(tmp_path / "b.npz", own | {"head/fc.bias": own["head/fc.bias"] + 1}, "npz")
    with pytest.raises(Failure, match=r"b\.npz is not the checkpoint that a\.npz was"):
        verify_files(Verified("tiny.yaml", output_dir=tmp_path, checkpoint=other), Settings())


def test_stages_that_were_drawn_are_drawn_again(tiny: Network, tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", tensors(tiny.graph, random_weights(tiny.graph)), "npz")
    options = Options(
        pretrained=CheckpointSource(path, reinit=("head",)), output_dir=tmp_path, seed=5, init=Init.RANDOM_STATS
    )
    build(["tiny.yaml"], options)
    assert verify_files(Verified("tiny.yaml", output_dir=tmp_path, checkpoint=path), Settings()).passed


# Converting


def test_what_cannot_be_written(tiny: Network, tmp_path: Path) -> None:
    path = write(tmp_path / "a", tensors(tiny.graph, random_weights(tiny.graph)))
    with pytest.raises(Failure, match="no such format can be written") as caught:
        convert(CheckpointSource(path), tmp_path / "b.pth", "tiny.yaml", {}, None, Quiet())
    assert caught.value.exit is Exit.USAGE
    with pytest.raises(Failure, match="has no msra names"):
        convert(CheckpointSource(path), tmp_path / "b.npz", "tiny.yaml", {}, "msra", Quiet())
    assert not (tmp_path / "b.npz").exists()


NARROW = """
extends: resnet101
stages:
  conv1: 7x7, 8, /2
  conv2_x: maxpool 3x3, /2, ceil | [1x1, 8; 3x3, 8; 1x1, 32] x3
  conv3_x: "[1x1, 8; 3x3, 8; 1x1, 32] x4 /2"
  conv4_x: "[1x1, 8; 3x3, 8; 1x1, 32] x11 /2"
  conv5_x: "[1x1, 8; 3x3, 8; 1x1, 32] x3 /2"
"""


def test_names_of_a_world_that_computes_otherwise_are_warned_of(tmp_path: Path) -> None:
    """torch would load the file, and compute with the stride, the padding and the colours of its own network."""
    (tmp_path / "narrow.yaml").write_text(NARROW)
    spec = str(tmp_path / "narrow.yaml")
    network = compile_spec(spec)
    weights = random_weights(network.graph)
    path = write_caffe(network.graph, weights, tmp_path, network.names).caffemodel
    done = convert(CheckpointSource(path), tmp_path / "x.safetensors", spec, {}, "torchvision", Quiet())
    stride, pool, color = done.warnings
    assert "takes the stride of a bottleneck on its conv1, not on its conv2" in stride
    assert stride.endswith("; what loads weights by the names of torchvision computes with conv2")
    assert "pads the stem's pooling by 0, not 1" in pool
    assert "sees images as bgr, not rgb" in color
    own = convert(CheckpointSource(path), tmp_path / "y.safetensors", spec, {}, "paths", Quiet())
    assert own.warnings == ()
    again = convert(CheckpointSource(tmp_path / "x.safetensors"), tmp_path / "z.npz", spec, {}, None, Quiet())
    assert len(again.warnings) == 3, "those of the source alone: it bears the names of the same convention"
    assert all("were trained with" in line for line in again.warnings)


def test_a_file_can_be_replaced_by_itself(tiny: Network, tmp_path: Path) -> None:
    weights = random_weights(tiny.graph)
    path = write(tmp_path / "a.npz", tensors(tiny.graph, weights), "npz")
    convert(CheckpointSource(path), path, "tiny.yaml", {}, None, Quiet())
    assert same(load(path, tiny), weights, tiny.graph)


def test_a_wrong_writer_publishes_nothing(tiny: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of what is read back."""
    path = write(tmp_path / "a", tensors(tiny.graph, random_weights(tiny.graph)))

    def turned(*arguments: object) -> None:
        *others, values, create = arguments
        write_checkpoint(*others, ((name, one[::-1].copy()) for name, one in values), create)  # type: ignore

    monkeypatch.setattr("resnetgen.build.convert.write_checkpoint", turned)
    with pytest.raises(Failure, match="has changed") as caught:
        convert(CheckpointSource(path), tmp_path / "b.npz", "tiny.yaml", {}, None, Quiet())
    assert caught.value.exit is Exit.BUG
    assert not (tmp_path / "b.npz").exists()
