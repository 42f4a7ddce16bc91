"""Origin of built files: from the metadata of an ONNX model, or from the manifest next to Caffe files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from resnetgen import manifest, ranges
from resnetgen.errors import Code, Failure, ModelError
from resnetgen.formats.caffe.model.read import load
from resnetgen.formats.onnx.model.read import read_model
from resnetgen.weights.initialise import Init


class WeightOrigin(Struct, frozen=True):
    """Origin of the weights."""

    seed: int = 0
    init: Init = Init.HE
    checkpoint: str = ""
    """Name of the checkpoint; empty if all weights were drawn."""
    sha256: str = ""
    """SHA-256 of the checkpoint."""
    reinit: tuple[str, ...] = ()
    """Stages that were drawn anew in spite of a checkpoint."""


class Origin(Struct, frozen=True):
    spec: str
    """Name of the spec; empty if it is unknown."""
    digest: str
    """SHA-256 of the spec and all its files at the time of the build."""
    params: Mapping[str, int | float]
    input_size: str | None
    """Input size, CxHxW; None if it is unknown."""
    weights: WeightOrigin


def of_onnx(path: Path) -> Origin:
    """Return the origin of an ONNX model. Raises Failure (exit 4 or 5) for an invalid model, or metadata that no build
    writes."""
    prefix = "resnetgen."
    entries = read_model(path).metadata
    entries = {key.removeprefix(prefix): value for key, value in entries.items() if key.startswith(prefix)}
    params = _params(entries.get("params", "{}"))
    return Origin(
        entries.get("spec", ""),
        entries.get("spec_sha256", ""),
        params,
        entries.get("input"),
        _weight_origin(entries, path),
    )


def of_caffe(prototxt: Path) -> Origin:
    """Return the origin of Caffe files. A manifest lacks the spec's parameters; the input size is in the prototxt.

    Raises Failure like of_onnx.
    """
    files = manifest.read(prototxt.parent)
    text, caffemodel = (files.get(prototxt.with_suffix(ending).name, {}) for ending in (".prototxt", ".caffemodel"))
    try:
        dims = load(prototxt).image
    except Failure:
        dims = ()
    image = "x".join(map(str, dims[1:])) if len(dims) == 4 else None
    origin = caffemodel.get("origin") if isinstance(caffemodel, dict) else None
    entries = origin if isinstance(origin, dict) else {}
    digest = str(text.get("spec_sha256", "")) if isinstance(text, dict) else ""
    weights = _weight_origin({key: str(value) for key, value in entries.items()}, prototxt.with_name(manifest.MANIFEST))
    return Origin(manifest.spec_name(prototxt.parent), digest, {}, image, weights)


def _params(text: str) -> dict[str, int | float]:
    """Return the parameters; empty unless they are numbers by name, as in every build. The spec's digest then
    differs."""
    try:
        params = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    numbers = isinstance(params, dict) and all(type(value) in (int, float) for value in params.values())
    return params if numbers else {}


def _weight_origin(entries: Mapping[str, str], path: Path) -> WeightOrigin:
    seed, init = entries.get("seed", "0"), entries.get("init", Init.HE)
    reinit = tuple(filter(None, entries.get("reinit", "").split(",")))
    try:
        ranges.SEED.require(int(seed), "seed")
        return WeightOrigin(
            int(seed), Init(init), entries.get("weights", ""), entries.get("weights_sha256", ""), reinit
        )
    except (ValueError, Failure):
        message = f"{path} records weights drawn with seed {seed!r} and init {init!r}"
        raise ModelError.of(Code.BAD_MODEL, message, hint="no build writes this; build it again") from None
