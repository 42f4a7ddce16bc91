"""The small files beside a model: labels, preprocess.json and the manifest."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fuzz import built
from fuzz.mutate import wire
from fuzz.mutate.octets import mostly
from fuzz.mutate.tokens import Tokens
from fuzz.target import Target
from resnetgen import manifest
from resnetgen.cli.exits import Exit
from resnetgen.formats.onnx.model.schema import ModelProto
from resnetgen.labels import read_labels
from resnetgen.manifest import MANIFEST, FileEntry
from resnetgen.predict.folder import PREPROCESS, read_folder
from resnetgen.spec.find import find_spec
from resnetgen.spec.load import load_file
from resnetgen.spec.table import Spec
from resnetgen.verification import origin

_CLASSES = 5


def parse_labels(data: bytes, folder: Path) -> None:
    path = folder / "labels.txt"
    path.write_bytes(data)
    assert len(read_labels(path, _CLASSES, "net.yaml:1")) == _CLASSES


def label_seeds() -> list[bytes]:
    return [
        b"tench\ngoldfish, Carassius auratus\ngreat white shark\ntiger shark\nhammerhead\n",
        "é\r\nb\r\nc\r\nd\r\n猫".encode(),
    ]


def parse_preprocess(data: bytes, folder: Path) -> None:
    """As predict does, beside a model."""
    model = folder / "model.onnx"
    if not model.exists():
        model.write_bytes(built.files(".onnx")[0])
    path = folder / PREPROCESS
    path.write_bytes(data)
    try:
        read_folder(folder)
    finally:
        path.unlink()


def parse_served(data: bytes, folder: Path) -> None:
    """As predict does, without a preprocess.json."""
    (folder / "model.onnx").write_bytes(data)
    read_folder(folder)


def served_seeds() -> list[bytes]:
    """Models that say how they see pictures."""
    return [data for data in built.files(".onnx") if b"resnetgen.preprocess" in data]


def preprocess_seeds() -> list[bytes]:
    return [
        b'{"color": "rgb", "divide": 255.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "resize": 256,'
        b' "crop": [224, 224], "interpolation": "bilinear", "embedded": false}\n',
        b'{"color": "gray", "divide": 1, "mean": [0], "std": [1e-3], "resize": [32, 28], "crop": [28, 28],'
        b' "interpolation": "nearest"}',
        b'{\n\t"color": "b\\u0067r",\n\t"crop": 32, "resize": "36x40", "std": null, "embedded": true\n}\n',
    ]


def parse_manifest(data: bytes, folder: Path) -> None:
    """As the next build does, and as verify does with Caffe files."""
    prototxt = folder / "tiny.prototxt"
    if not prototxt.exists():
        prototxt.write_bytes(b'name: "tiny"\n')
    (folder / MANIFEST).write_bytes(data)
    try:
        origin.of_caffe(prototxt)
        manifest.updated(folder, _spec(), {"new.onnx": FileEntry(1, "0", "0", {})})
    finally:
        (folder / MANIFEST).unlink()


@cache
def _spec() -> Spec:
    return load_file(find_spec("resnet18"))


def manifest_seeds() -> list[bytes]:
    return [data.replace(b"residual.", b"tiny.") for data in built.files(MANIFEST)]


def parse_metadata(data: bytes, folder: Path) -> None:
    """As verify does."""
    path = folder / "model.onnx"
    path.write_bytes(data)
    said = origin.of_onnx(path)
    assert isinstance(said.params, dict)


def metadata_seeds() -> list[bytes]:
    """Models that hold nothing else."""
    model = ModelProto.FromString(built.files(".onnx")[0])
    model.ClearField("graph")
    return [bytes(model.SerializeToString())]


_JSON = (
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"null",
    b"true",
    b"NaN",
    b"Infinity",
    b'"rgb"',
    b'"bgr"',
    b'"bicubic"',
)
_PREPROCESS = Tokens((*_JSON, b'"color"', b'"divide"', b'"mean"', b'"std"', b'"resize"', b'"crop"', b'"embedded"'))
_MANIFEST = Tokens((*_JSON, b'"files"', b'"origin"', b'"spec"', b'"tiny.prototxt"', b'"tiny.caffemodel"', b'"bytes"'))

TEXTS = (
    Target("labels", parse_labels, label_seeds, mostly(Tokens(), 0.5), frozenset({Exit.IO, Exit.LIMIT})),
    Target("preprocess", parse_preprocess, preprocess_seeds, mostly(_PREPROCESS), frozenset({Exit.IO, Exit.LIMIT})),
    Target("served", parse_served, served_seeds, mostly(wire.mutate), frozenset({Exit.MODEL, Exit.LIMIT, Exit.USAGE})),
    Target("metadata", parse_metadata, metadata_seeds, mostly(wire.mutate), frozenset({Exit.MODEL})),
    Target("manifest", parse_manifest, manifest_seeds, mostly(_MANIFEST), frozenset({Exit.MODEL, Exit.IO})),
)
