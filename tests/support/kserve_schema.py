"""Run by a Python that has the package kserve: is each of these manifests one of its InferenceServices?

A manifest is made into the objects of kserve and kubernetes, which refuse values that must not be or are missing, and
those back into a document. They drop what they do not know, so nothing of the manifest may be lost on the way. Prints
a JSON object: file -> what is wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kserve
import yaml
from kubernetes.client import models


def main(paths: list[str]) -> None:
    # kserve's client knows no class of Kubernetes, and no class at all for a quantity (kserve/kserve#6234).
    for name in ("V1ObjectMeta", "V1ResourceRequirements"):
        setattr(kserve.models, name, _legacy(getattr(models, name)))
    print(json.dumps({path: _wrong(yaml.safe_load(Path(path).read_text())) for path in paths}))


def _legacy(model: Any) -> Any:
    """kserve's client spells dict(str, str) what kubernetes from 36 on spells Dict[str, str]."""
    kinds = {
        name: kind.replace("Dict[", "dict(").replace("]", ")") if kind.startswith("Dict[") else kind
        for name, kind in model.openapi_types.items()
    }
    return type(model.__name__, (model,), {"openapi_types": kinds})


def _wrong(document: dict[str, Any]) -> list[str]:
    client = kserve.ApiClient()
    try:
        made = client.deserialize(SimpleNamespace(data=json.dumps(document)), "V1beta1InferenceService")
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return list(_lost(document, client.sanitize_for_serialization(made)))


def _lost(document: Any, again: Any, path: str = "") -> Iterator[str]:
    """The paths of what was dropped, or became something else."""
    if isinstance(document, dict) and isinstance(again, dict):
        for key, value in document.items():
            yield from _lost(value, again.get(key), f"{path}.{key}".lstrip("."))
    elif isinstance(document, list) and isinstance(again, list) and len(document) == len(again):
        for number, value in enumerate(document):
            yield from _lost(value, again[number], f"{path}.{number}")
    elif document != again or type(document) is not type(again):
        yield path


main(sys.argv[1:])
