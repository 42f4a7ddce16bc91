"""Folder from which a model is served: the model, the preprocessing of its images, and the names of its classes."""

from __future__ import annotations

from math import prod
from pathlib import Path

from msgspec import Struct

from resnetgen.errors import (
    Code,
    Failure,
    FileError,
    LimitError,
    ModelError,
    Source,
    SpecError,
    UsageError,
    did_you_mean,
)
from resnetgen.formats.onnx.model.nodes import Value
from resnetgen.formats.onnx.model.read import OnnxModel, read_model
from resnetgen.inputs import read_text
from resnetgen.labels import LABELS, read_labels
from resnetgen.preprocess import MAX_SIDE, Extent, Preprocess
from resnetgen.spec.preprocess_keys import parse_preprocess

MODEL, PREPROCESS = "model.onnx", "preprocess.json"
MAX_BYTES = 1 << 14
"""Limit in bytes of preprocess.json, which has a dozen numbers, and of the same text in a model's metadata."""
_TRANSPARENT = {"Cast", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape"}
"""Ops that keep a distribution after a Softmax."""


class Served(Struct, frozen=True):
    """Parts of a folder that a server needs: its clients send tensors, not images."""

    model: Path
    labels: tuple[str, ...]
    """Names of the classes in order; empty if there are none."""


class Folder(Served, frozen=True):
    preprocess: Preprocess
    embedded: bool
    """True if the model takes bytes, and does the pixel part of the preprocessing itself."""
    output: str
    """Name of the output that ranks classes; empty if the model has several, and none was chosen."""
    output_is_scalar: bool
    """True if the model declares this output as a scalar; ONNX Runtime reports the same for an unknown shape."""
    gives_distribution: bool
    """True if that output already is a distribution: a second softmax would flatten it."""


def read_served(folder: Path) -> Served:
    """Return the model and its labels; a preprocessing is not required. Raises Failure like `read_folder`."""
    path, model = _find_model(folder)
    return Served(path, _find_labels(folder, path, model.outputs[0]))


def read_folder(folder: Path, output: str | None = None) -> Folder:
    """Read what `build` or `deploy` wrote; `output` names the one of several outputs that ranks classes.

    Raises Failure: exit 2 if there is no preprocessing, several models, or no output of that name; exit 4 for an
    invalid model; exit 5 if a file is missing or invalid.
    """
    path, model = _find_model(folder)
    preprocess, embedded = _find_preprocess(folder, path, model)
    chosen = _choose_output(path, model, output)
    labels = _find_labels(folder, path, chosen)
    name, is_scalar = (chosen.name, chosen.shape == ()) if chosen else ("", False)
    return Folder(path, labels, preprocess, embedded, name, is_scalar, _ends_in_softmax(model, name))


def _find_model(folder: Path) -> tuple[Path, OnnxModel]:
    """Return the path and structure of the model. Raises ModelError if it has no output."""
    path = _find_file(folder)
    model = read_model(path)
    if not model.outputs:
        raise ModelError.of(Code.BAD_MODEL, f"{path}: it is no ONNX model that gives anything")
    return path, model


def _choose_output(path: Path, model: OnnxModel, name: str | None) -> Value | None:
    """Return the output with a name, or the only one; None if there are several. Raises UsageError for an unknown
    name."""
    outputs = {output.name: output for output in model.outputs}
    if name is None:
        return next(iter(outputs.values())) if len(outputs) == 1 else None
    if name not in outputs:
        message = f"--output: {path} has no output {name!r}"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=did_you_mean(name, outputs))
    return outputs[name]


def _find_labels(folder: Path, path: Path, output: Value | None) -> tuple[str, ...]:
    """Read the labels next to a model: as many as the output has classes, if the model declares that."""
    dims = _sizes(output)[1:] if output else []
    named = folder / LABELS
    return read_labels(named, prod(dims) if dims else 0, path.name) if named.is_file() else ()


def _find_file(folder: Path) -> Path:
    """Return model.onnx, or the only model in the folder. Raises Failure: exit 2 if there are several, exit 5 if there
    is none."""
    if (path := folder / MODEL).is_file():
        return path
    models = sorted(folder.glob("*.onnx"))
    if len(models) == 1:
        return models[0]
    if models:
        names = ", ".join(path.name for path in models)
        hint = f"call the one that is meant {MODEL}, or give it a folder of its own"
        raise UsageError.of(Code.BAD_ARGUMENT, f"{folder} holds several models: {names}", hint=hint)
    hint = "FOLDER is one that `resnetgen build` or `resnetgen deploy --server onnxruntime` wrote"
    raise FileError.of(Code.MISSING_FILE, f"there is no model in {folder}", hint=hint)


def _find_preprocess(folder: Path, path: Path, model: OnnxModel) -> tuple[Preprocess, bool]:
    """Return the preprocessing of an image, and True if the model does the pixel part itself.

    Raises Failure: exit 2 if there is none, 5 for an invalid preprocess.json, 4 for invalid metadata, 6 above a limit.
    """
    metadata = model.metadata
    is_embedded, beside = "resnetgen.embedded" in metadata, folder / PREPROCESS
    if beside.exists():
        kind: type[Failure] = FileError
        source = Source(str(beside), read_text(beside, MAX_BYTES, "preprocessing"))
    elif (text := metadata.get("resnetgen.preprocess")) is not None:
        source, kind = Source(f"{path}: metadata resnetgen.preprocess", text), ModelError
        if len(text) > MAX_BYTES:
            message = f"{source.name} are longer than {MAX_BYTES:,} characters, the limit for preprocessing"
            raise LimitError.of(Code.LIMIT, message)
    else:
        message = f"nothing says how this network is to see a picture: there is no {PREPROCESS} in {folder}"
        hint = f"write `preprocess:` in the spec and build it anew; {path.name} does not say it, either"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)
    try:
        preprocess, embedded = parse_preprocess(source, _input_extent(model, is_embedded))
    except Failure as failure:
        raise (kind if isinstance(failure, SpecError) else type(failure))(failure.problems) from None
    return preprocess, is_embedded if embedded is None else embedded


def _input_extent(model: OnnxModel, is_embedded: bool) -> Extent | None:
    """Return the height and width of the model's input; None if they are not fixed."""
    sizes = _sizes(model.inputs[0]) if model.inputs else []
    height, width = (sizes[1:3] if is_embedded else sizes[2:]) if len(sizes) == 4 else (0, 0)
    return (height, width) if 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE else None


def _sizes(value: Value) -> list[int]:
    """Return the declared extents of a tensor; 0 for one that varies."""
    return [extent if isinstance(extent, int) else 0 for extent in value.shape or ()]


def _ends_in_softmax(model: OnnxModel, name: str) -> bool:
    makers = {output: node for node in model.proto.graph.node for output in node.output}
    while (node := makers.pop(name, None)) and node.op_type in _TRANSPARENT and node.input:
        name = node.input[0]  # removed, so that a cycle ends as well
    return node is not None and node.op_type == "Softmax"
