"""The floors of docs/architecture.md: imports go strictly downward, and heavy libraries stay in their rooms.

Files and functions are short, too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support.places import syntax

PACKAGE = Path(__file__).parents[1] / "resnetgen"
TESTS = Path(__file__).parent

FLOORS = (
    {"escape", "paths", "progress"},
    {"errors"},
    {"arguments", "inputs", "ranges"},
    {"staging", "preprocess", "render", "labels"},
    {"spec", "ir", "wire"},
    {"formats/values"},
    {"formats/caffe/model", "formats/onnx/model"},
    {"weights", "manifest", "profiles"},
    {"expand", "passes"},
    {"formats"},
    {"summary"},
    {"network"},
    {"backends"},
    {"comparison", "predict"},
    {"pretrained"},
    {"verification"},
    {"precision"},
    {"build"},
    {"zoo", "deploy", "serve"},
    {"cli"},
    {"__main__"},
)
HEAVY = {
    "onnx": {"formats/onnx", "network", "weights", "verification", "backends/onnx_evaluator", "precision/quantise"},
    "onnxruntime": {"backends/onnxruntime", "precision/quantise"},
    "jinja2": {"render", "formats/caffe/write"},
    "rich": {"cli"},
    "click": {"cli"},
    "cv2": {"backends/opencv"},
    "PIL": {"backends/decode"},
    "lark": {"spec/grammar", "spec/rows", "formats/caffe/model/text"},
    "ruamel": {"spec/yaml"},
    "uvicorn": {"serve/connections", "serve/server"},
    "starlette": {"serve/app"},
}

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 60
FLAT_MATCHES = {
    ("formats/caffe/lower", "_layers"),
    ("formats/onnx/lower", "_onnx_nodes"),
    ("weights/checkpoint/pickle_vm", "run"),
}
"""Functions that may be longer: each is one match with a case of a few lines for each op or opcode."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def floor(path: str) -> int:
    """The floor of the longest of the names in FLOORS that a module's path begins with."""
    parts = path.split("/")
    names = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next(i for name in names for i, rooms in enumerate(FLOORS) if name in rooms)


@cache
def imports(path: Path) -> list[tuple[str, ast.stmt]]:
    found: list[tuple[str, ast.stmt]] = []
    for node in syntax(path.read_text()):
        if isinstance(node, ast.Import):
            found += [(alias.name, node) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "resnetgen":
                found += [(f"resnetgen.{alias.name}", node) for alias in node.names]
            else:
                found.append((node.module, node))
    return found


@pytest.mark.parametrize("path", MODULES, ids=room)
def test_imports_go_downward(path: Path) -> None:
    own = room(path)
    for module, _ in imports(path):
        parts = module.split(".")
        if parts[0] != "resnetgen" or own == "__init__" or parts[1] == "__version__":
            continue
        other = "/".join(parts[1:])
        same = other.split("/")[0] == own.split("/")[0] and floor(other) == floor(own)
        assert same or floor(other) < floor(own), f"{own} imports {module}"


def test_the_list_of_floors_in_the_documentation_is_this_one() -> None:
    text = (TESTS.parent / "docs/architecture.md").read_text(encoding="utf-8")
    block = next(part for part in text.split("```") if part.startswith("\n__main__\n"))
    listed = [set(line.split()) for line in reversed(block.strip().splitlines())]
    assert listed == [{re.sub(r"formats/\w+/model", "formats/*/model", name) for name in names} for names in FLOORS]


@pytest.mark.parametrize("path", MODULES, ids=room)
def test_heavy_libraries_stay_in_their_rooms(path: Path) -> None:
    for module, _ in imports(path):
        allowed = HEAVY.get(module.split(".")[0])
        if allowed is not None:
            assert any(room(path).startswith(place) for place in allowed), f"{room(path)} imports {module}"


def test_the_reference_imports_no_format() -> None:
    """Else a wrong translation could be on both backends of a comparison."""
    todo, seen = ["resnetgen.backends.interpreter"], set()
    while todo:
        module = todo.pop()
        path = PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
        path = path if path.is_file() else path.with_suffix("") / "__init__.py"
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        todo += [name for name, _ in imports(path) if name.startswith("resnetgen.")]
    assert "resnetgen.ir.ops.linear" in seen
    assert not [name for name in seen if name.startswith("resnetgen.formats")]


def test_one_format_does_not_import_another() -> None:
    """Only the registry knows them all."""
    folders = {path.name for path in (PACKAGE / "formats").iterdir() if path.is_dir()}
    for path in MODULES:
        own = room(path).split("/")
        for module, _ in imports(path):
            parts = module.split(".")
            if own[0] == "formats" and own[1] in folders and parts[:2] == ["resnetgen", "formats"]:
                assert parts[2] not in folders - {own[1]}, f"{room(path)} imports {module}"


def reached(target: str, start: str) -> set[str]:
    """The modules of a target that one of them imports, directly or through others of the target."""
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            parts = [module.split(".") for module, _ in imports(PACKAGE / "formats" / target / f"{name}.py")]
            todo += [
                "/".join(part[3:]) for part in parts if part[:3] == ["resnetgen", "formats", target] and len(part) > 3
            ]
    return found


@pytest.mark.parametrize(
    ("target", "writer", "reader", "shared"),
    [("onnx", "write", "lift", {"model/schema", "number_types"}), ("caffe", "write", "lift", {"model/schema"})],
)
def test_the_reader_of_a_format_shares_little_with_its_emitter(
    target: str, writer: str, reader: str, shared: set[str]
) -> None:
    """Else a mistake would be made and read back alike."""
    assert reached(target, reader) & reached(target, writer) == shared


@pytest.mark.parametrize("path", [p for p in MODULES if not room(p).startswith("cli/")], ids=room)
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    for node in syntax(path.read_text()):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "exit", "sys.exit", "quit"), f"{room(path)}:{node.lineno} calls {called}"


def long_functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name the functions of a module that are too long, with their lines."""
    for node in syntax(path.read_text()):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > LINES_OF_A_FUNCTION:
                yield node.name, lines


def is_long(path: Path) -> bool:
    return len(path.read_text(encoding="utf-8").splitlines()) > LINES_OF_A_FILE


def test_files_are_short() -> None:
    assert [str(path) for folder in (PACKAGE, TESTS) for path in sorted(folder.rglob("*.py")) if is_long(path)] == []


def test_functions_are_short() -> None:
    """No entry of FLAT_MATCHES may be left over, either."""
    assert {(room(path), name) for path in MODULES for name, _ in long_functions(path)} == FLAT_MATCHES


def test_long_files_and_functions_are_noticed(tmp_path: Path) -> None:
    """Negative control of the two tests above: one line more is one too many."""
    path, longer = tmp_path / "short.py", tmp_path / "long.py"
    path.write_text("def f():\n" + "    pass\n" * 59 + "\n" * 340)
    longer.write_text("async def f():\n" + "    pass\n" * 60 + "\n" * 340)
    assert (is_long(path), is_long(longer)) == (False, True)
    assert [*long_functions(path), *long_functions(longer)] == [("f", 61)]


def loaded(code: str) -> set[str]:
    """Return the modules that a program has imported when it ends."""
    code = f"import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


SLOW = {"numpy", "onnx", "onnxruntime", "jinja2", "rich", "lark", "ruamel", "google"}


def test_help_imports_nothing_heavy() -> None:
    """shutil: click would import it, with the compressors, for the width of the terminal."""
    modules = loaded("import resnetgen.cli; resnetgen.cli.main(['--help'])")
    assert "click" in modules
    assert not modules & {*SLOW, "msgspec", "pathlib", "shutil"}


def test_list_imports_nothing_heavy() -> None:
    modules = loaded("import resnetgen.cli; resnetgen.cli.main(['list'])")
    assert "msgspec" in modules
    assert not modules & SLOW


def test_the_library_is_imported_when_it_is_used() -> None:
    assert {name for name in loaded("import resnetgen") if name.startswith("resnetgen")} == {"resnetgen"}
    assert not loaded("import resnetgen") & {*SLOW, "click", "msgspec"}


def test_a_build_of_drawn_weights_imports_no_checkpoint_reader() -> None:
    modules = loaded("import resnetgen.build.run")
    assert "numpy" in modules
    assert not {name for name in modules if name.startswith("resnetgen.weights.checkpoint")}
