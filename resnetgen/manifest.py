"""manifest.json: the size, SHA-256 and origin of every file of a folder. It is written last."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from resnetgen import __version__
from resnetgen.inputs import read_bytes
from resnetgen.spec.table import Spec

MANIFEST = "manifest.json"
MAX_BYTES = 1 << 20
"""Limit in bytes of a manifest: enough for about 3,000 files."""


class FileEntry(Struct, frozen=True):
    """Entry of one file."""

    bytes: int
    sha256: str
    spec_sha256: str
    """SHA-256 of the spec and all its files at the time of the build."""
    origin: Mapping[str, Any]
    """Origin of the weights; empty for a text."""


def updated(folder: Path, spec: Spec, entries: dict[str, FileEntry], gone: Set[str] = frozenset()) -> str:
    """Return the manifest's text with new entries, and without the files in `gone`.

    Entries of earlier builds are kept as long as their files exist.
    """
    standing = {path.name for path in folder.glob("*") if path.is_file()} - gone
    files = {name: entry for name, entry in read(folder).items() if name in standing}
    return _text(spec, files | _listed(entries))


def text(spec: Spec, entries: dict[str, FileEntry]) -> str:
    """Return the manifest of a folder that has these files and no others."""
    return _text(spec, _listed(entries))


def _listed(entries: dict[str, FileEntry]) -> dict[str, Any]:
    return {name: asdict(entry) for name, entry in entries.items()}


def _text(spec: Spec, files: dict[str, Any]) -> str:
    document = {
        "resnetgen": __version__,
        "spec": spec.name,
        "title": spec.title,
        "files": dict(sorted(files.items())),
    }
    return json.dumps(document, indent=2) + "\n"


def read(folder: Path) -> dict[str, Any]:
    """Return the entries of a folder's manifest; empty if there is none, or it is not one of resnetgen."""
    files = _document(folder).get("files")
    return files if isinstance(files, dict) else {}


def spec_name(folder: Path) -> str:
    """Return the name of the spec of a folder's files; empty if there is no manifest, or it is not one of resnetgen."""
    name = _document(folder).get("spec")
    return name if isinstance(name, str) else ""


def _document(folder: Path) -> dict[str, Any]:
    """Return the manifest's content; empty if there is none, or it is not one of resnetgen.

    Raises Failure: exit 5 if something other than a file has its name, exit 6 if it is too large.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        document = json.loads(read_bytes(path, MAX_BYTES, "a manifest"))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
