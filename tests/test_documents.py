"""Files, folders, links, commands and options that the documentation names exist."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from resnetgen.cli import main
from support.places import PACKAGE, ROOT

PAGES = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / f"{n}.md" for n in ("README", "CONTRIBUTING", "SECURITY"))]
FOLDERS = (".ci", "benchmarks", "docs", "generated", "resnetgen", "specs", "templates", "tests")
FILES_OF_USERS = {
    *("small.yaml", "mine.yaml", "wrong.yaml", "specs/mine/net.yaml", "1/model.onnx/"),
    *("manifest.json", "preprocess.json", "labels.txt"),
}
"""Names that stand for files which a user has, or which the program writes for the user."""


@cache
def paths() -> set[str]:
    """Return every path of the repository and each of its ends: `lower.py`, `onnx/lower.py`, ... Folders end in a /."""
    whole = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "pyproject.toml")]
    for folder in FOLDERS:
        whole += [ROOT / folder, *(ROOT / folder).rglob("*")]
    ends: set[str] = set()
    for path in whole:
        parts = path.relative_to(ROOT).parts
        ends |= {"/".join(parts[i:]) + ("/" if path.is_dir() else "") for i in range(len(parts))}
    return ends


def missing_paths(text: str) -> Iterator[str]:
    """Name the paths in code of a text that the repository lacks."""
    for code in re.findall(r"`([^`\n]+)`", text):
        is_path = re.fullmatch(
            r"\.?\w[\w.-]*(/[\w.-]+)*/|[\w/.-]*\w\.(py|lark|ya?ml|json|md|proto|txt|j2|tables)", code
        )
        if is_path and code not in FILES_OF_USERS | paths():
            yield code
    for path in re.findall(rf"(?<![\w/.-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w/.-]*\w", text):
        if path.startswith(("generated/", "docs/reference/")) or path in FILES_OF_USERS:
            continue
        if path not in paths() and f"{path}/" not in paths():
            yield path


def commands(text: str) -> Iterator[str]:
    for block in re.findall(r"```(?:console)?\n(.*?)```", text, re.DOTALL):
        for line in re.findall(r"^(?:\$ )?resnetgen (.*)", block, re.MULTILINE):
            yield re.split(r" [|>] ", line)[0]


def refusal(line: str) -> str:
    """Return why the command line does not take these arguments; empty if it does."""
    words = shlex.split(line, comments=True)
    command: click.Command = main
    try:
        while isinstance(command, click.Group):
            name = words.pop(0)
            found = command.get_command(click.Context(command), name)
            if found is None:
                return f"no command {name}"
            command = found
        command.make_context("resnetgen", words)
    except click.UsageError as error:
        return error.format_message()
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    assert list(missing_paths(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_taken(page: Path) -> None:
    assert [(line, why) for line in commands(page.read_text(encoding="utf-8")) if (why := refusal(line))] == []


def test_wrong_paths_and_commands_are_noticed() -> None:
    """Negative control."""
    text = "`runtimes/` `spec/yaml.py` `lowered.py` tests/test_no.py\n```\n$ resnetgen build a --no-weight\n```"
    assert list(missing_paths(text)) == ["runtimes/", "lowered.py", "tests/test_no.py"]
    (line,) = commands(text)
    assert refusal(line).startswith("No such option")
    assert refusal("builds a") == "no command builds"
    assert refusal("build a --no-weights") == ""


def test_the_table_of_the_architecture_has_every_folder_and_module() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w/.]+)` \|", text, re.MULTILINE)
    names = {path.name + "/" * path.is_dir() for path in PACKAGE.iterdir() if not path.name.startswith("__pyc")}
    assert sorted(rows) == sorted(names - {"__init__.py", "py.typed"})


def test_rooms_of_mutation_testing_exist() -> None:
    for room, names in runpy.run_path(str(ROOT / "tests/mutation/rooms.py"))["ROOMS"].items():
        assert (PACKAGE / room).is_dir()
        assert [name for name in names.split() if not list((ROOT / "tests").rglob(f"test_{name}.py"))] == []
