"""KServe's own schema of its manifests, from the packages kserve and kubernetes if they are installed.

Their classes are generated from OpenAPI; each lists its fields and their types as data. The files are parsed, not
imported: importing kserve would load a web server.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_PRIMITIVES: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "bool": bool, "float": (int, float)}
_LIST = re.compile(r"list\[(.*)\]", re.IGNORECASE)
_DICT = re.compile(r"dict[(\[]str, (.*)[)\]]", re.IGNORECASE)


def violations(document: dict[str, Any]) -> list[str]:
    """Return the violations of the schema of an InferenceService; empty if there are none, or if it is not
    installed."""
    models = _models()
    root = "V1beta1InferenceService"
    return list(_value(document, root, "", models)) if root.lower() in models else []


def _models() -> dict[str, Path]:
    """Return the file of each class, by the class's name in lower case."""
    folders = []
    for package, inside in (("kserve", "models"), ("kubernetes", "client/models")):
        found = find_spec(package)
        if found and found.origin:
            folders.append(Path(found.origin).parent / inside)
    return {path.stem.replace("_", ""): path for folder in folders for path in folder.glob("v1*.py")}


def _value(value: Any, kind: str, where: str, models: dict[str, Path]) -> Iterator[str]:
    if listed := _LIST.fullmatch(kind):
        if not isinstance(value, list):
            yield f"{where} is {value!r}, no list"
            return
        for number, item in enumerate(value):
            yield from _value(item, listed[1], f"{where}.{number}", models)
    elif mapped := _DICT.fullmatch(kind):
        if not isinstance(value, dict):
            yield f"{where} is {value!r}, no mapping"
            return
        for key, item in value.items():
            yield from _value(item, mapped[1], f"{where}.{key}", models)
    elif primitive := _PRIMITIVES.get(kind):
        if not isinstance(value, primitive) or (isinstance(value, bool) and kind != "bool"):
            yield f"{where} is {value!r}, not of type {kind}"
    elif path := models.get(kind.lower()):  # kserve has no class for some types, such as quantities
        yield from _fields(value, path, where, models)


def _fields(value: Any, path: Path, where: str, models: dict[str, Path]) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is {value!r}, no mapping"
        return
    kinds = _kinds(path)
    for key, item in value.items():
        inner = f"{where}.{key}".lstrip(".")
        if key in kinds:
            yield from _value(item, kinds[key], inner, models)
        else:
            yield f"there is no field {inner}"


def _kinds(path: Path) -> dict[str, str]:
    """Return the fields of the class in a generated file: name -> type."""
    said: dict[str, dict[str, str]] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="openapi_types" | "attribute_map" as name)], value=ast.Dict() as value)
                | ast.AnnAssign(
                    target=ast.Name(id="openapi_types" | "attribute_map" as name), value=ast.Dict() as value
                )
            ):
                said[name] = ast.literal_eval(value)
    names = said.get("attribute_map", {})
    return {names[attribute]: kind for attribute, kind in said.get("openapi_types", {}).items()}
