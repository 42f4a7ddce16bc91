"""resnetgen deploy --server onnxruntime: the files, that they appear at once, and folders that are refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetgen.cli.exits import Exit
from resnetgen.deploy import onnxruntime as to_onnxruntime
from resnetgen.staging import folders as staging_folders
from resnetgen.staging.files import Staging
from support.deployed import TINY
from support.helpers import Run

FOLDER = ("deploy", "tiny.yaml", "--server", "onnxruntime", "-o", "served")


@pytest.fixture(autouse=True)
def _files(run: Run) -> None:
    """A spec, and the labels of its classes."""
    Path("tiny.yaml").write_text(TINY)
    Path("labels.txt").write_text("cat\ndog\nhen\nyak\n")


def test_a_folder_for_onnxruntime(run: Run) -> None:
    result = run(*FOLDER, "--labels", "labels.txt", "--embed-preprocess")
    assert result.code == 0, result.err
    files = {path.name for path in Path("served").iterdir()}
    assert files == {"model.onnx", "labels.txt", "preprocess.json", "manifest.json"}
    said = json.loads(Path("served/preprocess.json").read_text())
    assert (said["embedded"], said["resize"], said["crop"], said["mean"]) == (True, 18, [16, 16], [0.5, 0.5, 0.5])
    assert set(json.loads(Path("served/manifest.json").read_text())["files"]) == files - {"manifest.json"}


def test_a_folder_written_anew_has_nothing_of_the_old_model(run: Run) -> None:
    assert run(*FOLDER, "--labels", "labels.txt").code == 0
    Path("tiny.yaml").write_text("".join(line for line in TINY.splitlines(True) if "preprocess" not in line))
    result = run(*FOLDER)
    assert result.code == 0
    assert "warning: tiny has no preprocessing" in result.err
    assert {path.name for path in Path("served").iterdir()} == {"model.onnx", "manifest.json"}


ENTRIES = {"model.onnx", "labels.txt", "preprocess.json", "manifest.json"}


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """Entries of the folder `served` before and after each rename, as a server that polls may see them."""
    seen: list[set[str]] = []

    def watched(function: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any, **options: Any) -> None:
            seen.append(set(os.listdir("served")) if Path("served").is_dir() else set())
            function(*args, **options)
            seen.append(set(os.listdir("served")) if Path("served").is_dir() else set())

        return call

    for name in ("rename", "replace", "unlink"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    return seen


@pytest.mark.parametrize("mode", [None, 0o755, 0o700])
def test_a_first_deploy_appears_at_once(run: Run, listings: list[set[str]], mode: int | None) -> None:
    """In a new folder, and in an empty one, whose permissions are kept."""
    if mode:
        Path("served").mkdir()
        Path("served").chmod(mode)
    result = run(*FOLDER, "--labels", "labels.txt")
    assert result.code == 0, result.err
    assert set(map(frozenset, listings)) == {frozenset(), frozenset(ENTRIES)}
    assert not mode or Path("served").stat().st_mode & 0o777 == mode
    assert not list(Path().rglob(".staging-*"))


def test_files_that_appear_one_by_one_are_seen(
    run: Run, listings: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    Path("served").mkdir()
    monkeypatch.setattr(Staging, "publish_folder", lambda self, layout, place: Staging.publish(self, place))
    assert run(*FOLDER, "--labels", "labels.txt").code == 0
    assert {"model.onnx"} in [names & ENTRIES for names in listings]


def test_a_folder_reached_by_a_link(run: Run) -> None:
    Path("place").mkdir()
    Path("served").symlink_to("place")
    assert run(*FOLDER).code == 0
    assert Path("served").is_symlink()
    assert (Path("place") / "model.onnx").is_file()


def test_a_first_deploy_that_fails_late_leaves_the_empty_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("served").mkdir(mode=0o700)
    real = sync = staging_folders.sync

    def fail_behind_the_rename(path: Path) -> None:
        if Path("served/model.onnx").exists():
            monkeypatch.setattr(staging_folders, "sync", real)
            raise OSError(5, "Input/output error")
        sync(path)

    monkeypatch.setattr(staging_folders, "sync", fail_behind_the_rename)
    assert run(*FOLDER).code == Exit.IO
    assert list(Path("served").iterdir()) == []
    assert Path("served").stat().st_mode & 0o777 == 0o700
    assert [path for path in Path().rglob("*") if path.is_dir()] == [Path("served")]


@pytest.mark.parametrize("is_deploy", [True, False])
def test_another_process_fills_the_folder_first(run: Run, monkeypatch: pytest.MonkeyPatch, is_deploy: bool) -> None:
    """Files of another deploy are replaced, those of another program are kept."""
    real = Staging.publish_folder

    def publish_late(stage: Staging, *args: Any) -> None:
        monkeypatch.setattr(Staging, "publish_folder", real)
        if is_deploy:
            assert run(*FOLDER, "--seed", "1").code == 0
        else:
            Path("served").mkdir()
            Path("served/notes.txt").write_text("mine")
        stage.publish_folder(*args)

    monkeypatch.setattr(Staging, "publish_folder", publish_late)
    result = run(*FOLDER, "--labels", "labels.txt")
    if is_deploy:
        assert result.code == 0
        assert {path.name for path in Path("served").iterdir()} == ENTRIES
        assert run(*FOLDER[:-1], "alone").code == 0
        assert Path("served/model.onnx").read_bytes() == Path("alone/model.onnx").read_bytes()
    else:
        assert result.code == Exit.IO
        assert "served/notes.txt exists, and no earlier deploy wrote it" in result.err
        assert [path.name for path in Path("served").iterdir()] == ["notes.txt"]


def test_a_folder_that_no_rename_can_fill(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files could only be added one by one."""
    Path("served").mkdir()
    Path("served/notes.txt").write_text("mine")
    Path("full").write_text("a file")
    for args, message in (
        (FOLDER, "served/notes.txt exists, and no earlier deploy wrote it"),
        ((*FOLDER[:-1], "full"), "cannot write full: Not a directory"),
    ):
        result = run(*args)
        assert (result.code, result.out) == (Exit.IO, "")
        assert result.err == (
            f"error[output]: {message}\n  hint: --output-dir names a new folder, which may be inside this one\n"
        )
    Path("mount").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(to_onnxruntime, "beside", lambda folder: folder)
        result = run(*FOLDER[:-1], "mount")
        assert result.code == Exit.IO
        assert "its parent folder is read-only or on another disk" in result.err
    monkeypatch.chdir("mount")
    result = run("deploy", "../tiny.yaml", "--server", "onnxruntime", "-o", ".")
    assert result.code == Exit.IO
    assert ". is the current folder, which cannot be replaced" in result.err
    assert run("deploy", "../tiny.yaml", "--server", "onnxruntime", "-o", "inside").code == 0
    monkeypatch.chdir("inside")
    assert run("deploy", "../../tiny.yaml", "--server", "onnxruntime", "-o", ".").code == 0, "an earlier deploy's"
