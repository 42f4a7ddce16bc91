"""What the README shows is what the program prints. Refresh: pytest tests/test_readme.py --update-goldens"""

from __future__ import annotations

import doctest
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from resnetgen.cli import main

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PROTOTXT = Path("generated/resnet50/resnet50.prototxt")
CONSOLE = re.compile(r"```console\n\$ (?P<command>[^\n]*)\n(?P<output>.*?)```", re.DOTALL)
SPEC = re.compile(r"`(?P<name>[\w/]+\.yaml)`[^`]*```yaml\n(?P<text>.*?)```", re.DOTALL)
"""A spec and its name, the last code before it."""
PYTHON = re.compile(r"```python\n(?P<text>.*?)```", re.DOTALL)


def examples() -> Iterator[tuple[str, str]]:
    for match in CONSOLE.finditer(README.read_text(encoding="utf-8")):
        yield match["command"], match["output"]


def specs() -> dict[str, str]:
    return {match["name"]: match["text"] for match in SPEC.finditer(README.read_text(encoding="utf-8"))}


def steady(text: str) -> str:
    """Without what depends on the machine's processor and libraries: digests of weights, versions, rounding errors, and
    the widths of the columns that hold them."""
    text = re.sub(r"sha256 [0-9a-f]{16}", "sha256 ...", text)
    text = re.sub(r"(onnx|onnxruntime|numpy|OpenCV) \d+(\.\d+)+", r"\1 ...", text)
    text = re.sub(r"\d\.\de-\d\d +\S+ +\d\.\de-\d\d", "...", text)
    return re.sub(" +", " ", re.sub("─+", "─", text))


def run(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    program, *arguments = shlex.split(command)
    assert program == "resnetgen"
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.delenv("COLUMNS", raising=False)
    with pytest.raises(SystemExit):
        main(arguments)
    out, err = capsys.readouterr()
    assert not (out and err)
    return out or err


def test_examples(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, update_goldens: bool
) -> None:
    (tmp_path / "specs").symlink_to(ROOT / "specs")
    (tmp_path / PROTOTXT.parent).mkdir(parents=True)
    (tmp_path / PROTOTXT).write_bytes((ROOT / PROTOTXT).read_bytes())
    for name, spec in specs().items():
        if not name.startswith("specs/"):
            (tmp_path / name).write_text(spec)
    monkeypatch.chdir(tmp_path)
    text = README.read_text(encoding="utf-8")
    for command, shown in examples():
        printed = run(command, capsys, monkeypatch)
        if update_goldens:
            text = text.replace(f"$ {command}\n{shown}```", f"$ {command}\n{printed}```")
        else:
            assert steady(shown) == steady(printed), command
    if update_goldens:
        README.write_text(text, encoding="utf-8")
    assert wrong_in_python(text) == ""


def wrong_in_python(text: str) -> str:
    """Return what the Python examples of a text print that it does not show."""
    wrong: list[str] = []
    for match in PYTHON.finditer(text):
        example = doctest.DocTestParser().get_doctest(match["text"], {}, "README", "README.md", 0)
        assert example.examples
        doctest.DocTestRunner(verbose=False).run(example, out=wrong.append)
    return "".join(wrong)


def test_wrong_examples_in_python_are_seen() -> None:
    assert "Got:\n    2" in wrong_in_python("```python\n>>> 1 + 1\n3\n```")


def test_the_prototxt_is_the_authors_by_the_digest_that_is_shown() -> None:
    text = README.read_text(encoding="utf-8")
    assert f"diff specs/resnet50.yaml {PROTOTXT}" in text
    assert f"SHA-256 `{sha256((ROOT / PROTOTXT).read_bytes()).hexdigest()}`" in text


def test_specs_are_shown_as_they_are() -> None:
    shown = specs()
    assert list(shown) == ["small.yaml", "mine.yaml", "wrong.yaml", "specs/resnet50.yaml", "specs/resnet101.yaml"]
    assert len(re.findall("```yaml", README.read_text(encoding="utf-8"))) == len(shown)
    assert shown["small.yaml"].count("\n") == 5, "five lines, as the text says"
    for name in list(shown)[-2:]:
        assert shown[name] == (ROOT / name).read_text()


def test_without_the_gpu_wheel_all_other_requirements_are_named() -> None:
    (command,) = re.findall(r"pip install --no-deps \.\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {requirement.partition(";")[0].strip() for requirement in project["dependencies"]}
    gpu = next(requirement for requirement in required if requirement.startswith("onnxruntime-gpu"))
    named = shlex.split(command.replace("\\\n", " "))
    assert named[:2] == [".venv/bin/pip", "install"]
    assert sorted(named[2:]) == sorted(required - {gpu})
