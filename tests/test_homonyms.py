"""No two public classes of the package have the same name, and no two modules of different rooms."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "resnetgen"

_STEPS = {
    "attributes",
    "format",
    "lift",
    "lift_ops",
    "lower",
    "lower_ops",
    "model",
    "patterns",
    "read",
    "schema",
    "text",
    "validate",
    "write",
}
"""Steps that every format has, and so every folder of `formats/`."""
_PRODUCTS = {"caffemodel", "onnx", "onnxruntime", "triton"}
"""Formats, engines and servers: each room has its part of them."""


def classes(file: Path) -> Iterator[str]:
    """Yield the names of the public classes of a module."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def shared(named: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names that stand for several things: name -> their places."""
    places = defaultdict(list)
    for name, place in named:
        places[name].append(place)
    return {name: there for name, there in sorted(places.items()) if len(there) > 1}


def modules() -> Iterator[tuple[str, str]]:
    """Yield name and room of each module, except those named by convention: a file of `cli/` after its command, one of
    `formats/*` after its step, and one that handles a file format, an engine or a server after that."""
    for file in sorted(PACKAGE.rglob("*.py")):
        room, name = file.parent.relative_to(PACKAGE), file.stem
        is_step = room.parts[:1] == ("formats",) and name in _STEPS
        if not (name.startswith("__") or room.parts[:1] == ("cli",) or is_step or name in _PRODUCTS):
            yield name, room.as_posix()


def test_no_two_public_classes_have_the_same_name() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    found = shared((name, file.relative_to(PACKAGE).as_posix()) for file in files for name in classes(file))
    assert found == {}


def test_no_two_rooms_have_modules_of_the_same_name() -> None:
    found = shared(modules())
    assert found == {}


def test_a_shared_name_is_seen() -> None:
    assert shared([("Side", "a.py"), ("Net", "a.py"), ("Side", "b.py")]) == {"Side": ["a.py", "b.py"]}
