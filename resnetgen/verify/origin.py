"""What built files say of their origin: an ONNX model in its metadata, Caffe files in the manifest beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resnetgen import manifest
from resnetgen.errors import Failure
from resnetgen.targets.caffe.read import parse_prototxt
from resnetgen.targets.caffe.text import read
from resnetgen.targets.onnx.read import read_file


@dataclass(frozen=True)
class Origin:
    spec: str
    """Its name; empty where the files do not say it."""
    digest: str
    """Of the spec and all that it draws on, as it was when they were built."""
    params: Mapping[str, int | float]
    image: str | None
    """The input, CxHxW."""
    weights: Mapping[str, str]
    """How they were made: init and seed."""


def of_onnx(path: Path) -> Origin:
    """Raises Failure (exit 4 or 5) for what is no model."""
    prefix = "resnetgen."
    # What is not UTF-8 text comes as bytes.
    entries = {str(entry.key): str(entry.value) for entry in read_file(path).model.metadata_props}
    said = {key.removeprefix(prefix): value for key, value in entries.items() if key.startswith(prefix)}
    try:
        params: Any = json.loads(said.get("params", "{}"))
    except (ValueError, RecursionError):
        params = {}
    params = params if isinstance(params, dict) else {}
    return Origin(said.get("spec", ""), said.get("spec_sha256", ""), params, said.get("input"), said)


def of_caffe(prototxt: Path) -> Origin:
    """A manifest says less than a model: settings of the spec are not in it, and its input stands in the prototxt."""
    entries = manifest.read(prototxt.parent)
    text, weights = (entries.get(prototxt.with_suffix(ending).name, {}) for ending in (".prototxt", ".caffemodel"))
    try:
        dims = parse_prototxt(read(prototxt).text, str(prototxt)).input_dim
    except Failure:
        dims = ()
    image = "x".join(map(str, dims[1:])) if len(dims) == 4 else None
    origin = weights.get("origin") if isinstance(weights, dict) else None
    said = origin if isinstance(origin, dict) else {}
    digest = str(text.get("spec_sha256", "")) if isinstance(text, dict) else ""
    name = manifest.spec_name(prototxt.parent)
    return Origin(name, digest, {}, image, {key: str(value) for key, value in said.items()})
