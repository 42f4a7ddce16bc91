"""What the fuzzer of whole commands must see: planted faults, each found; and scenes, which survive their packing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("memory is limited and measured as Linux does it", allow_module_level=True)

from fuzz import process
from fuzz.scene import SPECIAL, Scene
from fuzz.target import Broken
from fuzz.targets import TARGETS, scenes
from resnetgen.cli.exits import Exit
from resnetgen.errors import Failure

SCENE = Scene(("summary", "net.yaml"), {"net.yaml": b"a", "f/labels.txt": b"b\n"}, {"pipe": "pipe"})


def escapes(*_: object, **__: object) -> None:
    print("\x1b[2J")


def escapes_past_python(*_: object, **__: object) -> None:
    os.write(2, b"\x07")


def starts_a_program(*_: object, **__: object) -> None:
    subprocess.run(["true"], check=True)


def fails_and_leaves_a_file(*_: object, **__: object) -> None:
    Path("half").write_text("half")
    sys.exit(Exit.IO)


def leaves_a_staging_folder(*_: object, **__: object) -> None:
    Path(".staging-resnetgen-x").mkdir()
    Path(".staging-resnetgen-x/model").write_text("half")


def ends_with_70(*_: object, **__: object) -> None:
    sys.exit(70)


def shows_a_traceback(*_: object, **__: object) -> None:
    print("Traceback (most recent call last):", file=sys.stderr)


def raises(*_: object, **__: object) -> None:
    raise RuntimeError("past the program's own net")


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        (escapes, "a text that drives the terminal"),
        (escapes_past_python, "a text that drives the terminal"),
        (starts_a_program, "a process was started"),
        (fails_and_leaves_a_file, "a command that failed changed files"),
        (leaves_a_staging_folder, "a staging folder is left"),
        (ends_with_70, "exit code 70"),
        (shows_a_traceback, "a traceback"),
        (raises, "past the program's own net"),
    ],
)
def test_a_planted_fault_is_found(
    planted: Callable[..., None], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "main", planted)
    with pytest.raises((Broken, RuntimeError), match=found):
        TARGETS["run-summary"].attempt(SCENE.pack(), tmp_path)
    assert Path.cwd() != tmp_path / "work"


def test_a_bug_is_found_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetgen.network.compile_spec", lambda *_: 1 / 0)
    with pytest.raises(Broken, match="exit code 70") as caught:
        TARGETS["run-summary"].attempt(SCENE.pack(), tmp_path)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_scenes_survive_packing(tmp_path: Path) -> None:
    assert Scene.unpack(SCENE.pack()) == SCENE
    SCENE.lay_out(tmp_path)
    assert (tmp_path / "f/labels.txt").read_bytes() == b"b\n"
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(Failure):
        Scene.unpack(b"[1, 2")


def test_special_files_are_what_they_say(tmp_path: Path) -> None:
    Scene((), special={kind: kind for kind in SPECIAL}).lay_out(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == SPECIAL.keys()


def test_a_scene_writes_nothing_outside_its_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    Scene((), {"../out": b"", "/tmp/resnetgen-out": b"", "a\0": b"", "x" * 300: b""}).lay_out(inner)
    assert list(tmp_path.iterdir()) == [inner]
    assert not list(inner.iterdir())
    assert not Path("/tmp/resnetgen-out").exists()


@pytest.mark.fuzz
@pytest.mark.parametrize("data", scenes.build_scenes()[:2] + scenes.summary_scenes()[:1])
def test_a_scene_runs_as_it_would_in_a_process_of_its_own(data: bytes, tmp_path: Path) -> None:
    scene, inner = Scene.unpack(data), tmp_path / "inner"
    inner.mkdir()
    scene.lay_out(inner)
    here = process.run(scene.line, inner, tmp_path)
    plain = {name: value for name, value in os.environ.items() if name != "COLUMNS"}  # tables for a pipe, as here
    command = [sys.executable, "-m", "resnetgen.cli", *scene.line]
    apart = subprocess.run(command, capture_output=True, cwd=inner, env=plain)
    assert (here.code, here.out, here.err) == (apart.returncode, apart.stdout, apart.stderr)
