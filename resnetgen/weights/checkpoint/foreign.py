"""Detection of files that are not supported checkpoints, by their first bytes, with advice for each."""

from __future__ import annotations

from typing import NamedTuple

HEAD = 512
"""Bytes at the start of a file that are looked at."""


class Kind(NamedTuple):
    start: bytes
    at: int
    what: str
    hint: str


_AGAIN = "with torch 1.6 or newer, torch.save(torch.load(FILE, weights_only=True), NEW) writes it anew"
_KERAS = "write its weights as .npz or .safetensors with the library that wrote it"
_DOWNLOAD = "download the file itself"

_KINDS = (
    Kind(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", 0, "it is of torch's older format, a bare pickle", _AGAIN),
    Kind(b"ustar", 257, "it is a tar archive, torch's oldest format if it holds tensors", _AGAIN),
    Kind(b"\x80", 0, "it is a Python pickle, which is not read: a pickle can do anything", _AGAIN),
    Kind(b"\x89HDF\r\n\x1a\n", 0, "it is an HDF5 file, such as Keras writes", _KERAS),
    Kind(b"TFL3", 4, "it is a TensorFlow Lite model", _KERAS),
    Kind(b"GGUF", 0, "it is a GGUF file", _KERAS),
    Kind(b"\x93NUMPY", 0, "it is a single array (.npy)", "np.savez(NEW, **{name: array}) gives it a name"),
    Kind(b"\x1f\x8b", 0, "it is compressed by gzip", "unpack it first"),
    Kind(b"\x28\xb5\x2f\xfd", 0, "it is compressed by Zstandard", "unpack it first"),
    Kind(b"BZh", 0, "it is compressed by bzip2", "unpack it first"),
    Kind(b"\xfd7zXZ\x00", 0, "it is compressed by xz", "unpack it first"),
    Kind(b"7z\xbc\xaf\x27\x1c", 0, "it is a 7z archive", "unpack it first"),
    Kind(b"version https://git-lfs", 0, "it is a pointer of Git LFS, not the file", "git lfs pull"),
    Kind(b"<!DOCTYPE", 0, "it is a web page", _DOWNLOAD),
    Kind(b"<!doctype", 0, "it is a web page", _DOWNLOAD),
    Kind(b"<html", 0, "it is a web page", _DOWNLOAD),
    Kind(b"name:", 0, "it is a prototxt, which holds no weights", "give the .caffemodel beside it"),
)


def kind(head: bytes) -> Kind | None:
    """Return the kind of a file by its first bytes; None if they are not known."""
    return next((kind for kind in _KINDS if head.startswith(kind.start, kind.at)), None)
