"""Checkpoints as the weights of a spec: round trips bit for bit, types, verification and conversion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from resnetgen.build.convert import convert
from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.network import Network, compile_spec
from resnetgen.pretrained.pretrained import CheckpointSource
from resnetgen.progress import Quiet
from resnetgen.verification import Settings
from resnetgen.verification.verify import Verified, verify_files
from resnetgen.weights.checkpoint import open_checkpoint, write_checkpoint
from resnetgen.weights.draw import keys
from resnetgen.weights.initialise import Init, Initialised
from support.checkpoints import load, same, tensors, write
from support.helpers import random_weights, write_caffe, write_onnx

ROUND_TRIPS = ["resnet18", pytest.param("resnet50", marks=pytest.mark.zoo), "resnet20_cifar"]


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
    assert exit_code(caught.value) is Exit.VERIFICATION
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
    with pytest.raises(Failure, match="weights are not written in this format") as caught:
        convert(CheckpointSource(path), tmp_path / "b.pth", "tiny.yaml", {}, None, Quiet())
    assert exit_code(caught.value) is Exit.USAGE
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
    assert stride.endswith("; networks that load weights by the names of torchvision have conv2")
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
    assert exit_code(caught.value) is Exit.BUG
    assert not (tmp_path / "b.npz").exists()
