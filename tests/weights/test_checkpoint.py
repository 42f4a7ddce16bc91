"""Weight files that are as they should be: read bit by bit, by content, tensor by tensor."""

from __future__ import annotations

import ast
import hashlib
import sys
import weakref
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure
from resnetgen.staging.files import staging
from resnetgen.weights import checkpoint
from resnetgen.weights.checkpoint import Checkpoint, Head, open_checkpoint, write_checkpoint
from resnetgen.wire import access
from support.checkpoint_files import (
    CAFFE,
    FILES,
    TENSORS,
    Raw,
    Values,
    call,
    glob,
    model,
    npz_of,
    opened,
    pth,
    pth_of,
    random,
    safetensors_of,
    same,
    state,
    storage,
    tensor,
)
from support.places import syntax
from support.work import count_bytes


@pytest.mark.parametrize("format", FILES)
def test_every_format_is_told_by_its_content(format: str, tmp_path: Path) -> None:
    read = opened(tmp_path / "weights.of_some_kind", FILES[format])
    assert read.format == format.removesuffix(", deflated")
    same(read, CAFFE if format == "caffemodel" else TENSORS)
    assert read.checksum() == hashlib.sha256(FILES[format]).hexdigest()


@pytest.mark.parametrize("format", FILES)
def test_reading_from_threads(format: str, tmp_path: Path) -> None:
    read = opened(tmp_path / "weights", FILES[format])
    wanted = {name: read.array(name).tobytes() for name in read.tensors}
    with ThreadPoolExecutor(8) as pool:
        names = list(read.tensors) * 50
        for name, values in zip(names, pool.map(read.array, names), strict=True):
            assert values.tobytes() == wanted[name]


def read_in_the_middle(read: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Read a tensor between two pieces of another; return whether both are as they are alone."""
    first, second = [name for name, info in read.tensors.items() if info.nbytes > 16][:2]
    expected = [read.array(name).tobytes() for name in (first, second)]
    real, between = zlib.crc32, []

    def crc32(data: Any, check: int = 0) -> int:
        if not between:
            between.append(b"")
            between[0] = read.array(second).tobytes()
        return real(data, check)

    monkeypatch.setattr(access, "_CHUNK", 16)
    monkeypatch.setattr(zlib, "crc32", crc32)
    return [read.array(first).tobytes(), between[0]] == expected


@pytest.mark.parametrize("format", ["safetensors", "npz", "torch"])
def test_a_read_in_the_middle_of_another(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As threads may do it, at a moment that is not left to them."""
    assert read_in_the_middle(opened(tmp_path / "weights", FILES[format]), monkeypatch)


def test_reads_that_share_a_file_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the test above."""
    read = opened(tmp_path / "weights", FILES["safetensors"])
    with (tmp_path / "weights").open("rb") as file:
        monkeypatch.setattr(access.Ranges, "open", lambda _: nullcontext(file))
        with pytest.raises(Failure, match="changed while it was read"):
            read_in_the_middle(read, monkeypatch)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(Failure) as caught:
            open_checkpoint(path)
        assert exit_code(caught.value) is Exit.IO
        assert caught.value.problems[0].code is Code.MISSING_FILE


def test_a_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    read = opened(tmp_path / "weights", FILES["safetensors"])
    (tmp_path / "weights").write_bytes(FILES["safetensors"][:-4])
    with pytest.raises(Failure, match="changed while it was read"):
        read.array("conv1.weight")


def test_what_the_package_may_know() -> None:
    """No graph, spec or target, and no library that would read a file in its own way: least of all a pickle's."""
    allowed = {"errors", "inputs", "staging", "wire", "weights.checkpoint", "formats.onnx.model", "formats.caffe.model"}
    folder = Path(checkpoint.__file__).parent
    for path in folder.glob("*.py"):
        for node in syntax(path.read_text(encoding="utf-8")):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                own = name if name.startswith("msgspec") else name.split(".")[0]
                assert own in {*sys.stdlib_module_names, "numpy", "msgspec", "msgspec.structs", "resnetgen"}, path.name
                assert name.split(".")[0] not in {"pickle", "shelve", "marshal", "ctypes"}, path.name
                own = name.removeprefix("resnetgen.")
                assert own == name or any(own == word or own.startswith(f"{word}.") for word in allowed), path.name


# bfloat16


def narrowed(values: Values) -> Values:
    """The upper half of floats: their bits as bfloat16."""
    return (values.view("<u4") >> 16).astype("<u2")


BRAIN = random("float32", 6, 5)
BITS = narrowed(BRAIN)
WIDE = (BITS.astype("<u4") << 16).view("<f4")


def brain_files() -> dict[str, bytes]:
    fake = safetensors_of({"w": BITS}).replace(b'"U16"', b'"BF16"').replace(b"{", b"{", 1)
    size = int.from_bytes(fake[:8], "little") + 1  # the header is a letter longer
    typed = onnx.helper.make_tensor("w", onnx.TensorProto.BFLOAT16, BITS.shape, WIDE.ravel())
    raw = onnx.TensorProto(name="w", dims=BITS.shape, data_type=onnx.TensorProto.BFLOAT16, raw_data=BITS.tobytes())
    return {
        "safetensors": size.to_bytes(8, "little") + fake[8:],
        "torch": pth({"w": tensor("BFloat16Storage", "0", BITS.size, BITS.shape)}, {"0": BITS.tobytes()}),
        "torch, transposed": pth(
            {"w": tensor("BFloat16Storage", "0", BITS.size, BITS.shape, strides=(1, 6))}, {"0": BITS.tobytes("F")}
        ),
        "onnx, typed": model(typed),
        "onnx, raw": model(raw),
    }


@pytest.mark.parametrize("format", brain_files())
def test_bfloat16_comes_as_float32(format: str, tmp_path: Path) -> None:
    read = opened(tmp_path / "w", brain_files()[format])
    assert read.tensors["w"].dtype == "bfloat16"
    found = read.array("w")
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.array_equal(found, WIDE)


# numpy


@pytest.mark.parametrize("compressed", [False, True])
def test_what_numpy_writes(compressed: bool, tmp_path: Path) -> None:
    """Both byte orders and both orders of axes; what is read is always this machine's, the last axis the fastest."""
    values = random("float32", 5, 4, 3)
    others = {"fortran": np.asfortranarray(values), "big": values.astype(">f4"), "bool": values > 0}
    read = opened(tmp_path / "w", npz_of(others, compressed))
    for name, wanted in others.items():
        found = read.array(name)
        assert found.dtype == wanted.dtype.newbyteorder("=")
        assert found.flags.c_contiguous
        assert np.array_equal(found, wanted)


# torch, by hand


def test_a_tensor_with_strides(tmp_path: Path) -> None:
    values = random("float32", 6, 5)

    def view(shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Raw:
        return tensor("FloatStorage", "0", 30, shape, strides, offset)

    views = {
        "transposed": (view((5, 6), (1, 5)), values.T),
        "a column": (view((6,), (5,), 2), values[:, 2]),
        "a part": (view((2, 3), (5, 1), 11), values[2:4, 1:4]),
        "again and again": (view((4, 5), (0, 1), 5), np.broadcast_to(values[1], (4, 5))),
        "channels last": (view((1, 5, 2, 3), (30, 1, 15, 5)), values.reshape(1, 2, 3, 5).transpose(0, 3, 1, 2)),
        "an axis of one": (view((6, 1, 5), (5, 77, 1)), values[:, None]),
    }
    read = opened(tmp_path / "w", pth({name: raw for name, (raw, _) in views.items()}, {"0": values.tobytes()}))
    for name, (_, wanted) in views.items():
        found = read.array(name)
        assert found.flags.c_contiguous
        assert np.array_equal(found, wanted), name


def test_byte_orders(tmp_path: Path) -> None:
    values = random("float32", 6, 5)
    value = {"w": tensor("FloatStorage", "0", 30, (6, 5)), "t": tensor("FloatStorage", "0", 30, (5, 6), (1, 5))}
    for order, data in {"big": values.astype(">f4"), "little": values, None: values}.items():
        read = opened(tmp_path / "w", pth(value, {"0": data.tobytes()}, order))
        assert np.array_equal(read.array("w"), values)
        assert np.array_equal(read.array("t"), values.T)
        assert read.array("w").dtype.isnative


HOOKS = call(glob("collections", "OrderedDict"))


def test_other_ways_to_say_a_tensor(tmp_path: Path) -> None:
    values = random("uint16", 3, 2)
    parts = (storage("storage.UntypedStorage", "0", 12), 0, (3, 2), (2, 1), False, HOOKS, glob("torch", "uint16"))
    untyped = call(glob("torch._utils", "_rebuild_tensor_v3"), *parts)
    parameter = call(glob("torch._utils", "_rebuild_parameter"), untyped, True, HOOKS)
    size = call(glob("torch", "Size"), (3, 2))
    sized = call(glob("torch._utils", "_rebuild_tensor"), storage("ShortStorage", "0", 6), 0, size, (2, 1))
    read = opened(tmp_path / "w", pth({"a": untyped, "b": parameter, "c": sized}, {"0": values.tobytes()}))
    assert np.array_equal(read.array("a"), values)
    assert np.array_equal(read.array("b"), values)
    assert np.array_equal(read.array("c"), values.view(np.int16))


NOTES = {
    "epoch": 90,
    "arch": "resnet50",
    "best_acc1": tensor("FloatStorage", "0", 1, (1,)),
    "args": call(glob("argparse", "Namespace")),
    "loss": call(glob("numpy.core.multiarray", "scalar"), call(glob("numpy", "dtype"), "f8", False, True), "?"),
    "optimizer": {"state": {0: {"momentum": tensor("FloatStorage", "1", 4, (4,))}}, "param_groups": [{"lr": 0.1}]},
}


@pytest.mark.parametrize("key", ["state_dict", "model", "model_ema", "net"])
def test_what_training_scripts_save(key: str, tmp_path: Path) -> None:
    values, storages = state({"one": np.zeros(1, np.float32), "momentum": random("float32", 4)} | TENSORS)
    del values["one"], values["momentum"]
    same(opened(tmp_path / "w", pth(NOTES | {key: values}, storages)), TENSORS)


def test_several_dicts_of_tensors(tmp_path: Path) -> None:
    values, storages = state(TENSORS)
    with pytest.raises(Failure) as caught:
        opened(tmp_path / "w", pth({"epoch": 1, "model": values, "model_ema": values}, storages))
    assert "it has several dicts of tensors, under 'model', 'model_ema': save the one that is meant" in str(
        caught.value
    )
    with pytest.raises(Failure, match="it has no dict of tensors; its keys are 'epoch', 'best'"):
        opened(tmp_path / "w", pth({"epoch": 1, "best": "model.pth"}, {}))
    with pytest.raises(Failure, match=r"'19', \.\.\. "):
        opened(tmp_path / "w", pth({str(n): n for n in range(21)}, {}))
    with pytest.raises(Failure, match="under the top, 'ema': save"):
        opened(tmp_path / "w", pth(values | {"ema": values}, storages))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_wrappers_leave_no_trace(prefix: str, tmp_path: Path) -> None:
    same(opened(tmp_path / "w", pth_of({prefix + name: values for name, values in TENSORS.items()})), TENSORS)
    some = {"module.a": TENSORS["fc.bias"], "b": TENSORS["fc.bias"]}
    same(opened(tmp_path / "w", pth_of(some)), some)


# Writing


def head(values: Values) -> Head:
    return Head(values.dtype.name, values.shape)


@pytest.mark.parametrize("format", ["safetensors", "npz"])
def test_written_and_read(format: str, tmp_path: Path) -> None:
    heads = {name: head(values) for name, values in TENSORS.items()}
    for name in ("a", "b"):
        write_checkpoint(tmp_path / name, format, heads, TENSORS.items())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    read = open_checkpoint(tmp_path / "a")
    assert read.format == format
    same(read, TENSORS)


def test_numpy_reads_what_we_write(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "w.npz", "npz", {n: head(v) for n, v in TENSORS.items()}, TENSORS.items())
    with np.load(tmp_path / "w.npz", allow_pickle=False) as found:
        assert {name: found[name].tobytes() for name in found} == {n: v.tobytes() for n, v in TENSORS.items()}


class Watched:
    """Tensors of a megabyte; counts those that are still held as the next one is made."""

    def __init__(self) -> None:
        self.made: list[weakref.ref[Any]] = []
        self.most = 0

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for number in range(24):
            self.most = max(self.most, sum(ref() is not None for ref in self.made))
            values = np.full((256, 1024), number, np.float32)
            self.made.append(weakref.ref(values))
            yield str(number), values


@pytest.mark.parametrize("format", ["safetensors", "npz"])
def test_writing_holds_a_tensor_at_a_time(format: str, tmp_path: Path) -> None:
    tensors = Watched()
    heads = {str(number): Head("float32", (256, 1024)) for number in range(24)}
    with staging(tmp_path) as stage:
        write_checkpoint(stage.path("w"), format, heads, tensors, stage.create)
        stage.publish()
    assert len(tensors.made) == 24
    assert tensors.most <= 2
    read = open_checkpoint(tmp_path / "w")
    for name in read.tensors:
        with count_bytes() as asked:
            assert read.array(name).max() == int(name)
        assert asked.total < 2 << 20


def test_tensors_that_are_held_are_seen() -> None:
    """Negative control of the test above."""
    tensors = Watched()
    assert len([*tensors]) == 24
    assert tensors.most == 23


def test_a_tensor_that_was_not_announced(tmp_path: Path) -> None:
    for tensors in ({"w": np.zeros(3, np.float64)}, {"v": np.zeros(3, np.float32)}, {"w": np.zeros(4, np.float32)}, {}):
        with pytest.raises(ValueError, match=r"announced|shorter"):
            write_checkpoint(
                tmp_path / str(len(list(tmp_path.iterdir()))), "npz", {"w": Head("float32", (3,))}, tensors.items()
            )
