"""Weight files that torch and safetensors themselves have written, and ours read by them."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.weights.checkpoint import Head, open_checkpoint, write_checkpoint
from support.checkpoint_files import TENSORS, opened, pth, pth_of, same, tensor

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]  # it warns of what it will write no more

DTYPES = [
    "float32",
    "float16",
    "float64",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
]


@pytest.fixture
def torch() -> Any:
    import torch

    return torch


def net(torch: Any) -> Any:
    layers = [torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Flatten(), torch.nn.Linear(32, 10)]
    return torch.nn.Sequential(*layers)


def arrays(state: Any) -> dict[str, Any]:
    return {name: values.detach().numpy() for name, values in state.items()}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_state_dict(torch: Any, protocol: int, tmp_path: Path) -> None:
    state = net(torch).state_dict()
    torch.save(state, tmp_path / "w.pth", pickle_protocol=protocol)
    same(open_checkpoint(tmp_path / "w.pth"), arrays(state))


@pytest.mark.parametrize("dtype", DTYPES)
def test_types(torch: Any, dtype: str, tmp_path: Path) -> None:
    values = torch.arange(-9, 15).to(getattr(torch, dtype)).reshape(2, 3, 4)
    state = {"w": values, "p": torch.nn.Parameter(values, requires_grad=False), "one": values[0, 0, 0], "all": values}
    torch.save(state, tmp_path / "w.pth")
    same(open_checkpoint(tmp_path / "w.pth"), arrays(state))


def test_bfloat16(torch: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    values = torch.randn(5, 7).to(torch.bfloat16)
    torch.save({"w": values, "t": values.T}, tmp_path / "w.pth")
    save_file({"w": values}, tmp_path / "w.safetensors")
    for name in ("w.pth", "w.safetensors"):
        read = open_checkpoint(tmp_path / name)
        assert read.tensors["w"].dtype == "bfloat16"
        assert np.array_equal(read.array("w"), values.float().numpy())
    assert np.array_equal(open_checkpoint(tmp_path / "w.pth").array("t"), values.T.float().numpy())


def test_views(torch: Any, tmp_path: Path) -> None:
    base = torch.randn(6, 4, 3, 3)
    state = {
        "channels last": base.to(memory_format=torch.channels_last),
        "transposed": base.transpose(0, 1),
        "a part": base[2:5, ::2, 1:],
        "the same": base,
        "expanded": base[:1].expand(6, 4, 3, 3),
        "nothing": base[:0],
    }
    torch.save(state, tmp_path / "w.pth")
    same_values(open_checkpoint(tmp_path / "w.pth"), state)


def same_values(read: Any, state: Any) -> None:
    for name, wanted in arrays(state).items():
        assert np.array_equal(read.array(name), wanted), name
        assert read.array(name).flags.c_contiguous


def test_training_checkpoints(torch: Any, tmp_path: Path) -> None:
    import argparse

    model = net(torch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    whole = {
        "epoch": 3,
        "arch": "resnet50",
        "state_dict": torch.nn.DataParallel(model).state_dict(),
        "best_acc1": torch.tensor([76.1]),
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.1, data=Path("/data"), device=torch.device("cpu")),
        "loss": np.float64(0.5),
        "dtype": torch.float32,
        "size": torch.Size([1, 2]),
    }
    torch.save(whole, tmp_path / "w.pth")
    same(open_checkpoint(tmp_path / "w.pth"), arrays(model.state_dict()))


def test_without_crc32(torch: Any, tmp_path: Path) -> None:
    state = net(torch).state_dict()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    same(open_checkpoint(tmp_path / "w.pth"), arrays(state))


def test_the_other_byte_order(torch: Any, tmp_path: Path) -> None:
    """torch reads what we say is its own of the other byte order."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    data = pth({"w": tensor("FloatStorage", "0", 12, (3, 4))}, {"0": values.astype(">f4").tobytes()}, "big")
    assert np.array_equal(opened(tmp_path / "w.pth", data).array("w"), values)
    assert np.array_equal(torch.load(tmp_path / "w.pth")["w"].numpy(), values)


def test_torch_reads_the_files_of_these_tests(torch: Any, tmp_path: Path) -> None:
    """So that those of the other tests are torch's files too."""
    (tmp_path / "w.pth").write_bytes(pth_of(TENSORS))
    found = torch.load(tmp_path / "w.pth", weights_only=True)
    assert {name: values.numpy().tobytes() for name, values in found.items()} == {
        name: values.tobytes() for name, values in TENSORS.items()
    }


def refused(path: Path) -> str:
    with pytest.raises(Failure) as caught:
        open_checkpoint(path)
    assert exit_code(caught.value) is Exit.MODEL
    return str(caught.value)


def test_what_torch_writes_that_is_not_read(torch: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(net(torch).state_dict(), path, _use_new_zipfile_serialization=False)
    assert "torch's older format" in refused(path)
    torch.save(net(torch), path)
    assert "'torch.nn.modules.container.Sequential', which no tensor needs" in refused(path)
    assert "torch.save(model.state_dict(), NEW)" in refused(path)
    torch.jit.save(torch.jit.script(net(torch)), path)
    assert "TorchScript" in refused(path)
    torch.save({"w": torch.randn(3).to(torch.complex64)}, path)
    assert "ComplexFloatStorage" in refused(path)
    torch.save({"w": torch.eye(3).to_sparse()}, path)
    assert "_rebuild_sparse_tensor" in refused(path)
    torch.save({"w": torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8)}, path)
    assert "which no tensor needs" in refused(path)
    torch.save({"w": torch.randn(3, device="meta")}, path)
    assert "which no tensor needs" in refused(path)
    torch.save({"w": torch._neg_view(torch.randn(3))}, path)
    assert "negated or conjugated" in refused(path)
    torch.save([torch.randn(3)], path)
    assert "it is not a dict of tensors" in refused(path)
    torch.save(OrderedDict(), path)
    assert "no dict of tensors" in refused(path)


# safetensors


def test_safetensors(torch: Any, tmp_path: Path) -> None:
    import safetensors.torch as library

    state = net(torch).state_dict() | {"half": torch.randn(3, 2).half(), "none": torch.zeros(0, 2)}
    library.save_file(state, tmp_path / "w", metadata={"format": "pt", "by": "a test"})
    read = open_checkpoint(tmp_path / "w")
    wanted = arrays(state)
    same(read, {name: wanted[name] for name in read.tensors})
    assert read.tensors.keys() == wanted.keys()
    heads = {name: Head(values.dtype.name, values.shape) for name, values in wanted.items()}
    write_checkpoint(tmp_path / "ours", "safetensors", heads, wanted.items())
    found = library.load_file(tmp_path / "ours")
    assert {name: values.numpy().tobytes() for name, values in found.items()} == {
        name: values.tobytes() for name, values in wanted.items()
    }
