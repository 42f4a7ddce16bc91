"""Inputs that once met a fault, kept: the folders of tests/fuzz/corpus, one a target."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from fuzz.guard import Fault

CORPUS = Path(__file__).parent / "corpus"


def kept() -> list[Path]:
    return sorted(path for path in CORPUS.glob("*/*") if path.is_file())


def save(fault: Fault, folder: Path = CORPUS) -> Path:
    path = folder / fault.target / sha256(fault.data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(fault.data)
    return path


def command(path: Path, target: str) -> str:
    """What runs an input again."""
    return f"python -m tests.fuzz --target {target} {path}"
