"""Pickles in weight files of torch: what none may hold, and how much work one may make."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.weights.checkpoint import open_checkpoint, pickle_vm
from support.checkpoint_files import (
    Raw,
    call,
    glob,
    opcodes,
    pickled,
    pth,
    storage,
    tensor,
    zip_of,
)
from support.hostile import error, read_back
from support.work import count_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def weights(elements: int = 6, shape: Any = (3, 2), strides: Any = None, offset: Any = 0, kind: str = "Float") -> Raw:
    return tensor(f"{kind}Storage", "0", elements, shape, strides, offset)


DATA = {"0": bytes(24)}
HUGE = 10**9


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        # Sizes: 1.5 KB that claim 10^9 elements
        (weights(HUGE, (HUGE,)), "claims a storage of 1,000,000,000 elements, which holds 24 bytes"),
        (weights(6, (HUGE,)), "of 1000000000 takes more than its storage of 6 elements"),
        (weights(6, (HUGE,), (0,)), "takes more than its storage of 6 elements"),
        (weights(6, (3, 2), (0, 2**62)), "takes more than its storage"),
        (weights(6, (3, 2), (2, 1), 1), "takes more than its storage"),
        (weights(6, (3, 2), (3, 1)), "takes more than its storage"),
        (weights(6, (3, 2), (-2, 1)), "are not sizes"),
        (weights(6, (3, 2), (2, 1), -1), "are not sizes"),
        (weights(6, (3, 2), (1,)), "fewer or more strides than axes"),
        (weights(6, (1,) * 17, (1,) * 17), "are not sizes"),
        (weights(6, (3, 2.0), (2, 1)), "are not sizes"),
        (weights(6, (True, 2), (2, 1)), "are not sizes"),
        (weights(6, [3, 2]), None),
        (weights(6, (3, 2), [2, 1]), "are not sizes"),
        (weights(6, (3, 2**300), (2, 1)), "a number of more than 256 bits"),
        (weights(6, (3, 2**200), (2, 1)), "takes more than its storage"),
        (weights(2**200, (3, 2)), "which holds 24 bytes"),
        (weights(5), "claims a storage of 5 elements, which holds 24 bytes"),
        (weights(-6), "a storage has invalid fields"),
        (weights(kind="Double"), "claims a storage of 6 elements, which holds 24 bytes"),
        (tensor("FloatStorage", "1", 6, (3, 2)), "names the storage '1', which is missing"),
        (tensor("FloatStorage", "../data.pkl", 6, (3, 2)), "which is missing"),
        (tensor("FloatStorage", 0, 6, (3, 2)), "a storage has invalid fields"),
        (tensor("storage.UntypedStorage", "0", 24, (3, 2)), "or no type"),
        # Names
        (call(glob("os", "system"), "touch owned"), "it refers to 'os.system', which no tensor needs"),
        (call(glob("builtins", "eval"), "1"), "it refers to 'builtins.eval'"),
        (call(glob("torch._utils", "_rebuild_tensor_v2.__globals__"), "1"), "which no tensor needs"),
        (glob("torch._utils", "_rebuild_device_tensor_from_numpy"), "which no tensor needs"),
        (Raw(opcodes("os") + opcodes("system") + b"\x93"), "it refers to 'os.system'"),
        (Raw(opcodes("os" * 5000) + opcodes("system") + b"\x93"), "a name is not a text"),
        (Raw(opcodes(1) + opcodes(2) + b"\x93"), "a name is not a text"),
        (Raw(b"ios\nsystem\n"), "INST, which no tensor needs"),
        (Raw(b"\x82\x01"), "EXT1, which no tensor needs"),
        (Raw(b"(" + opcodes(glob("torch", "Size")) + b"o"), "OBJ, which no tensor needs"),
        # Calls
        (call(glob("torch._utils", "_rebuild_tensor_v2"), 1, 2, 3, 4), "a tensor has no storage"),
        (call(glob("torch._utils", "_rebuild_tensor_v2")), "it is damaged: TypeError"),
        (call(glob("torch._utils", "_rebuild_tensor_v3"), storage("FloatStorage", "0", 6), 0, (), ()), "no type"),
        (call(glob("torch", "FloatStorage"), 1), "it calls a value that is not a function"),
        (call(Raw(opcodes(1)), 1), "it calls a value that is not a function"),
        (Raw(opcodes(glob("torch", "Size")) + opcodes([1]) + b"R"), "it calls a value that is not a function"),
        (call(glob("torch", "Size"), *range(17)), "it calls a value that is not a function"),
        (Raw(opcodes("storage") + b"Q"), "a storage has invalid fields"),
    ],
)
def test_pickles(value: Raw, wanted: str | None, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    data = pth({"w": value}, DATA)
    if wanted is None:
        assert read_back(path, data) == {"w": bytes(24)}
    else:
        assert wanted in error(path, data)
    assert [p.name for p in path.parent.iterdir()] == ["weights"]


STEPS = {
    "it stops too early": (b"", "it is damaged: ValueError"),
    "it takes from nothing": (b".", "it pops from an empty stack"),
    "below a mark": (b"N(0.", "it pops from an empty stack"),
    "no mark": (b"t.", "it pops from an empty stack"),
    "a memo of nothing": (b"q\x00.", "IndexError"),
    "a memo that is not there": (b"h\x07.", "KeyError"),
    "an unknown step": (b"\xff.", "ValueError"),
    "a text longer than the pickle": (b"X\xff\xff\xff\x7fab.", "ValueError"),
    "bytes of eight bytes of length": (b"\x8e" + b"\xff" * 7 + b"\x7f.", "ValueError"),
    "a number of many digits": (b"I" + b"9" * 5000 + b"\n.", "ValueError"),
    "a long number": (
        b"\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20) + b".",
        "a number of more than 256 bits",
    ),
    "entries of a list": (b"]K\x01K\x02s.", "sets entries of a value that is not a dict"),
    "an entry without a value": (b"}(K\x01u.", "sets entries of a value that is not a dict"),
    "appended to a dict": (b"}K\x01a.", "appends to a value that is not a list"),
    "a bare value": (b"K\x01.", "is not a dict of tensors"),
    "a list in itself": (b"]q\0h\0a.", "is not a dict of tensors"),
    "a dict in itself": (b"}q\0X\1\0\0\0ah\0s.", "has no dict of tensors"),
    "a deep tuple as a key": (b"})" + b"\x85" * 200_000 + b"K\x01s.", "has no dict of tensors"),
    "a deep list": (b"]" * 100_000 + b"a" * 99_999 + b".", "is not a dict of tensors"),
    "many arguments, many times": (
        b"ctorch\nSize\nq\0(" + b"K\x01" * 100_000 + b"tq\x01" + b"0h\0h\1R" * 100_000 + b".",
        "it calls a value that is not a function",
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_pickles(name: str, path: Path) -> None:
    steps, wanted = STEPS[name]
    path.write_bytes(zip_of({"archive/data.pkl": b"\x80\x02" + steps}))
    with pytest.raises(Failure) as caught:
        open_checkpoint(path)
    assert wanted in str(caught.value)
    assert exit_code(caught.value) is Exit.MODEL


MANY: dict[str, Callable[[int], bytes]] = {
    "a deep tuple": lambda n: b"})" + b"\x85" * n + b"K\x01s.",
    "a deep list": lambda n: b"]" * n + b"a" * (n - 1) + b".",
    "the same arguments again": lambda n: b"ctorch\nSize\nq\0(" + b"K\x01" * n + b"tq\x01" + b"0h\0h\1R" * n + b".",
}


def work_of(steps: bytes, path: Path) -> int:
    path.write_bytes(zip_of({"archive/data.pkl": b"\x80\x02" + steps}))
    with count_lines() as lines, pytest.raises(Failure):
        open_checkpoint(path)
    return lines.count


@pytest.mark.parametrize("name", MANY)
def test_a_pickle_takes_work_in_proportion_to_its_steps(name: str, path: Path) -> None:
    work_of(MANY[name](9), path)  # imports what it needs
    assert work_of(MANY[name](2000), path) < 2.2 * work_of(MANY[name](1000), path)


def test_work_for_each_value_on_the_stack_is_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control of the test above."""
    machine = pickle_vm._Machine
    pop = machine.pop

    def slow_pop(self: Any) -> Any:
        for _ in self._stack:
            pass
        return pop(self)

    monkeypatch.setattr(machine, "pop", slow_pop)
    assert work_of(MANY["a deep list"](600), path) > 3 * work_of(MANY["a deep list"](300), path)


def test_too_many_steps(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_vm, "MAX_OPCODES", 1000)
    assert "it has more than 1,000 steps" in error(path, zip_of({"a/data.pkl": b"N0" * 501 + b"N."}))


def test_archives_of_torch(path: Path) -> None:
    value = {"w": weights()}
    assert "its byte order is b'middle'" in error(path, pth(value, DATA, "middle"))
    assert "the member 'archive/byteorder' has 1,000 bytes" in error(path, pth(value, DATA, "x" * 1000))
    assert "is a TorchScript program" not in error(path, pth(value, {}))
    assert "it is a TorchScript program" in error(path, pth(value, DATA, **{"constants.pkl": b""}))
    long = zip_of({"a/data.pkl": pickled("x" * (16 << 20))})
    path.write_bytes(long)
    with pytest.raises(Failure, match="16,777,216 are allowed"):
        open_checkpoint(path)
    deflated = zip_of({"a/data.pkl": pickled(value), "a/data/0": bytes(24)}, zipfile.ZIP_DEFLATED)
    assert "the member 'a/data.pkl' is compressed" in error(path, deflated)


def test_many_tensors_of_the_same_bytes(path: Path) -> None:
    """Tied weights name theirs twice; ten thousand tensors may not name the same megabyte."""
    elements = 1 << 18
    values = {str(n): tensor("FloatStorage", "0", elements, (elements,)) for n in range(100)}
    path.write_bytes(pth(values, {"0": bytes(4 * elements)}))
    with pytest.raises(Failure, match="share the same bytes too often"):
        open_checkpoint(path)
    twice = {name: values[name] for name in ("0", "1")}
    assert len(read_back(path, pth(twice, {"0": bytes(4 * elements)}))) == 2
