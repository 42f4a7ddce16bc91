"""Files that a user names: each is opened without waiting, and read up to its limit."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnetgen import manifest
from resnetgen.backends.decode import decode
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.caffe.model import text as prototxt
from resnetgen.formats.onnx.model.read import read_model
from resnetgen.inputs import open_input, read_bytes, read_text
from resnetgen.labels import read_labels
from resnetgen.predict import read_folder
from resnetgen.spec.load import load_file
from resnetgen.verification import npy
from resnetgen.verification.origin import of_onnx
from resnetgen.weights.checkpoint import open_checkpoint

NO_FILES = {"a folder": Path.mkdir, "a pipe": os.mkfifo, "a device": lambda path: path.symlink_to("/dev/zero")}


def refusal(read: Callable[[], object]) -> tuple[Exit, str]:
    with pytest.raises(Failure) as caught:
        read()
    return exit_code(caught.value), str(caught.value)


def use_in_a_spec(path: Path) -> object:
    spec = path.with_name("spec.yaml")
    spec.write_text(f"use: [std, {path.name}]\ninput: 3x8x8\nstages: {{head: gap}}\n")
    return load_file(spec)


def extend_in_a_spec(path: Path) -> object:
    spec = path.with_name("spec.yaml")
    spec.write_text(f"extends: {path.name}\n")
    return load_file(spec)


def serve_beside_a_model(path: Path) -> object:
    (path.parent / "model.onnx").write_bytes(bytes((8, 8)))
    return read_folder(path.parent)


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "spec": ("net.yaml", load_file),
    "use": ("blocks.yaml", use_in_a_spec),
    "extends": ("parent.yaml", extend_in_a_spec),
    "prototxt": ("net.prototxt", prototxt.read),
    "labels": ("labels.txt", lambda path: read_labels(path, 10, "the network")),
    "manifest": (manifest.MANIFEST, lambda path: manifest.read(path.parent)),
    "ONNX model": ("model.onnx", read_model),
    "origin of a model": ("model.onnx", of_onnx),
    "npy": ("images.npy", npy.load),
    "image": ("cat.jpg", lambda path: decode(path, False)),
    "checkpoint": ("weights.pth", open_checkpoint),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_not_a_file_is_refused_at_once(reader: str, kind: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    path = tmp_path / name
    NO_FILES[kind](path)
    code, text = refusal(lambda: read(path))
    assert code is Exit.IO
    assert f"{name}: it is {kind}, not a file" in text


@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_the_hint_says_what_to_do_with_a_pipe(kind: str, tmp_path: Path) -> None:
    NO_FILES[kind](path := tmp_path / "net.prototxt")
    assert refusal(lambda: open_input(path)) == (
        Exit.IO,
        f"error[missing-file]: cannot read {path}: it is {kind}, not a file\n"
        "  hint: save its content to a file, and name that",
    )


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("here")
        assert "it is a socket, not a file" in refusal(lambda: open_input(Path("here")))[1]


def test_what_becomes_a_pipe_in_between_is_refused_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_bytes(b"")
    os.mkfifo(pipe)
    status = file.stat()
    monkeypatch.setattr(os, "stat", lambda path, **_: status)
    assert "it is a pipe" in refusal(lambda: open_input(pipe))[1]


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "x" * 300])
def test_a_name_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    code, text = refusal(lambda: read_bytes(tmp_path / name, 10, "a test"))
    assert code is Exit.IO
    assert text.isprintable() or "\n" in text


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a sparse file: reading it whole would take a terabyte
    assert refusal(lambda: read_bytes(path, 100, "a test")) == (
        Exit.LIMIT,
        f"error[limit]: {path} is larger than 100 bytes, the limit for a test",
    )
    path.write_bytes(b"x" * 100)
    assert len(read_bytes(path, 100, "a test")) == 100


def test_memory_is_taken_for_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read of two gigabytes would take them, and fail where a process may not have as much."""
    asked = []

    class File(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    monkeypatch.setattr("resnetgen.inputs.open_input", lambda *_: File(b"x" * 3_000_000))
    assert read_bytes(tmp_path / "any", 1 << 31, "a test") == b"x" * 3_000_000
    assert len(asked) > 2
    assert max(filter(None, asked)) <= 1 << 20


def test_text_is_utf8_and_loses_its_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_text(path, 100, "a test") == "abc"
    path.write_bytes(b"abc\xff")
    code, text = refusal(lambda: read_text(path, 100, "a test"))
    assert code is Exit.IO
    assert f"{path} is not UTF-8 text: byte 3 cannot be read" in text


@pytest.mark.parametrize(("name", "read"), [READERS["manifest"], ("preprocess.json", serve_beside_a_model)])
def test_json_has_a_limit(name: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(6 << 30)
    assert refusal(lambda: read(path))[0] in (Exit.LIMIT, Exit.MODEL)


def test_arrays_that_are_cut_short_while_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read what is no longer there through a map would kill the process (SIGBUS)."""
    path = tmp_path / "images.npy"
    np.save(path, np.ones((8, 64, 64), np.float32))
    whole = np.lib.format.open_memmap

    def cut(*args: Any, **options: Any) -> Any:
        mapped = whole(*args, **options)
        os.truncate(path, 4096)
        return mapped

    monkeypatch.setattr(np.lib.format, "open_memmap", cut)
    code, text = refusal(lambda: npy.load(path))
    assert code is Exit.MODEL
    assert "only a part of one" in text
