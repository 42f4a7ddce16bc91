"""Syntax of --on: the backend for each word."""

from __future__ import annotations

from pathlib import Path

from resnetgen.backends.onnxruntime import Provider
from resnetgen.errors import Code, Failure, FileError, UsageError
from resnetgen.verification import caffe, npy
from resnetgen.verification.backends import (
    Backend,
    CaffeBackend,
    EvaluatorBackend,
    OnnxBackend,
    ReferenceBackend,
    SavedOutputs,
)
from resnetgen.verification.settings import Settings
from resnetgen.verification.target import Target

REFERENCE = "reference"
KNOWN = "reference, onnxruntime, onnxruntime:cpu, onnxruntime:cuda, opencv, MODEL.onnx, NET.prototxt, FILE.npz"


def open_backend(word: str, subject: Target, settings: Settings) -> Backend:
    """Return the backend of a word. Raises Failure for an unknown word, a missing file, or an engine that is not
    installed."""
    engine, _, rest = word.partition(":")
    match engine, rest:
        case "reference", "":
            return _reference(subject)
        case "onnxruntime", "" | "cpu" | "cuda" | "auto":
            provider = Provider(rest or settings.provider)
            return OnnxBackend(f"onnxruntime:{provider}", subject.file("onnx"), settings.device(provider))
        case "opencv", "":
            prototxt, caffemodel = subject.file("prototxt"), subject.file("caffemodel")
            return CaffeBackend(word, caffe.load(prototxt, caffemodel, subject.network))
    path = Path(word)
    if path.suffix == ".onnx":
        return OnnxBackend(word, _existing(path), settings.device())
    if path.suffix in npy.SUFFIXES:
        return SavedOutputs(word, path)
    net, model = _caffe_files(word)
    if net:
        return CaffeBackend(word, caffe.load(_existing(net), model, subject.network))
    raise UsageError.of(Code.BAD_ARGUMENT, f"--on does not know what {word!r} is", hint=f"known: {KNOWN}")


def _reference(subject: Target) -> Backend:
    if subject.network:
        return ReferenceBackend(REFERENCE, subject.network)
    try:
        return EvaluatorBackend.of_file(REFERENCE, subject.file("onnx"))
    except Failure:
        message = f"the spec of {subject.name} is not known, so there is no reference"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="name two backends: --on opencv --on MODEL.onnx") from None


def _caffe_files(word: str) -> tuple[Path | None, Path]:
    """Return the paths from net.prototxt, with the caffemodel next to it, or from net.prototxt:net.caffemodel."""
    name, ending, model = word.partition(".prototxt")
    if not ending or (model and not model.startswith(":")):
        return None, Path()
    prototxt = Path(name + ending)
    return prototxt, Path(model[1:]) if model else prototxt.with_suffix(".caffemodel")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileError.of(Code.MISSING_FILE, f"cannot read {path}: No such file or directory")
    return path
