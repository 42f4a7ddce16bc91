"""Detection of files that are not supported checkpoints, by their first bytes, with advice for each."""

from __future__ import annotations

from typing import NamedTuple

HEAD_BYTES = 512
"""Bytes at the start of a file that are looked at."""


class Magic(NamedTuple):
    start: bytes
    at: int
    what: str
    hint: str


_AGAIN = "with torch 1.6 or newer, torch.save(torch.load(FILE, weights_only=True), NEW) converts it"
_KERAS = "write its weights as .npz or .safetensors with the library that wrote it"
_DOWNLOAD = "download the file itself"

_KINDS = (
    Magic(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", 0, "it is of torch's older format, a bare pickle", _AGAIN),
    Magic(b"ustar", 257, "it is a tar archive, torch's oldest format if it holds tensors", _AGAIN),
    Magic(b"\x80", 0, "it is a Python pickle, which is not read: it can run any code", _AGAIN),
    Magic(b"\x89HDF\r\n\x1a\n", 0, "it is an HDF5 file, such as Keras writes", _KERAS),
    Magic(b"TFL3", 4, "it is a TensorFlow Lite model", _KERAS),
    Magic(b"GGUF", 0, "it is a GGUF file", _KERAS),
    Magic(b"\x93NUMPY", 0, "it is a single array (.npy)", "np.savez(NEW, **{name: array}) gives it a name"),
    Magic(b"\x1f\x8b", 0, "it is compressed by gzip", "unpack it first"),
    Magic(b"\x28\xb5\x2f\xfd", 0, "it is compressed by Zstandard", "unpack it first"),
    Magic(b"BZh", 0, "it is compressed by bzip2", "unpack it first"),
    Magic(b"\xfd7zXZ\x00", 0, "it is compressed by xz", "unpack it first"),
    Magic(b"7z\xbc\xaf\x27\x1c", 0, "it is a 7z archive", "unpack it first"),
    Magic(b"version https://git-lfs", 0, "it is a pointer of Git LFS, not the file", "git lfs pull"),
    Magic(b"<!DOCTYPE", 0, "it is a web page", _DOWNLOAD),
    Magic(b"<!doctype", 0, "it is a web page", _DOWNLOAD),
    Magic(b"<html", 0, "it is a web page", _DOWNLOAD),
    Magic(b"name:", 0, "it is a prototxt, which has no weights", "name the .caffemodel next to it"),
)


def match_magic(head: bytes) -> Magic | None:
    """Return the kind of a file by its first bytes; None if they are not known."""
    return next((match_magic for match_magic in _KINDS if head.startswith(match_magic.start, match_magic.at)), None)
