"""Order of syncs and renames, and locks of folders. Calls are recorded, because no test can cut the power."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnetgen.errors import Failure
from resnetgen.staging import folders, locks
from resnetgen.staging.files import Staging, staging

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows syncs no folder and locks none")


class Disk:
    """The calls of os.fsync, os.replace and os.rename, in their order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, int]] = []
        """The call, and the inode that it was about."""
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._sync)
        for name in ("replace", "rename"):
            monkeypatch.setattr(os, name, self._moving(getattr(os, name)))

    def _sync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self.calls.append(("sync", os.fstat(descriptor).st_ino))

    def _moving(self, real: Callable[..., None]) -> Callable[..., None]:
        def move(source: Path, place: Path, **options: Any) -> None:
            inode = os.stat(source).st_ino
            real(source, place, **options)
            self.calls.append(("move", inode))

        return move

    def first(self, call: str, path: Path) -> int:
        return self.calls.index((call, path.stat().st_ino))

    def last(self, call: str, path: Path) -> int:
        return len(self.calls) - 1 - self.calls[::-1].index((call, path.stat().st_ino))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def write(stage: Staging, *names: str) -> None:
    for name in names:
        stage.write_text(name, name)


def test_sync_reaches_the_file_and_the_folder_that_it_names(tmp_path: Path, disk: Disk) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    folders.sync(file)
    folders.sync(tmp_path)
    assert disk.calls == [("sync", path.stat().st_ino) for path in (file, tmp_path)]


def test_every_file_is_on_the_disk_before_the_first_is_renamed(tmp_path: Path, disk: Disk) -> None:
    """The folder is synced after the last rename, so that the new names are on the disk too."""
    with staging(tmp_path) as stage:
        write(stage, "a", "b")
        stage.publish(last=lambda: ("manifest.json", "{}"))
    published = [tmp_path / name for name in ("a", "b", "manifest.json")]
    moves = [disk.first("move", path) for path in published]
    assert moves == sorted(moves), "in the order in which they were begun"
    assert max(disk.first("sync", path) for path in published) < moves[0]
    assert disk.last("sync", tmp_path) > moves[-1]


def test_a_folder_that_is_made_for_the_files_is_on_the_disk(tmp_path: Path, disk: Disk) -> None:
    final = tmp_path / "a" / "b"
    with staging(final) as stage:
        write(stage, "file")
        stage.publish()
    for around in (tmp_path, tmp_path / "a"):
        assert disk.first("sync", around) < disk.first("move", final / "file")


def test_a_new_folder_is_on_the_disk_with_all_that_is_in_it(tmp_path: Path, disk: Disk) -> None:
    place = tmp_path / "repository" / "net"
    with staging(tmp_path) as stage:
        write(stage, "model", "labels")
        stage.publish_folder({"model": "1/model", "labels": "labels"}, place)
    appears = disk.first("move", place)
    for path in (place, place / "1", place / "1/model", place / "labels"):
        assert disk.first("sync", path) < appears
    assert disk.last("sync", place.parent) > appears
    assert disk.last("sync", tmp_path) < appears, "the name of the folder around it"


def fail_to_sync(descriptor: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_sync_that_fails_publishes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the threads that sync are raised before the first rename."""
    moved: list[Path] = []
    monkeypatch.setattr(os, "fsync", fail_to_sync)
    monkeypatch.setattr(os, "replace", lambda source, place: moved.append(place))

    def publish() -> None:
        with staging(tmp_path) as stage:
            write(stage, "a")
            stage.publish()

    with pytest.raises(Failure, match="Input/output error"):
        publish()
    assert (moved, [*tmp_path.iterdir()]) == ([], [])


def is_held(folder: Path) -> bool:
    try:
        folders.release(folders.hold(folder))
    except BlockingIOError:
        return True
    return False


def is_locked(folder: Path) -> bool:
    """Whether another build has to wait until it may publish there."""
    try:
        with locks.publishing(folder):
            return False
    except TimeoutError:
        return True


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "MAX_WAIT", 0)


def test_a_folder_has_one_holder_until_it_is_released(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    held = folders.hold(tmp_path)
    assert is_held(tmp_path)
    folders.release(held)
    assert not is_held(tmp_path)


@pytest.mark.parametrize("way", ["final", "link"])
def test_no_other_build_publishes_until_this_one_is_done(tmp_path: Path, way: str) -> None:
    """The folder is locked from before the first rename, so that a manifest never describes another build's files."""
    final = tmp_path / "final"
    final.mkdir()
    (tmp_path / "link").symlink_to(final)
    with staging(tmp_path / way) as stage:
        write(stage, "a")
        assert not is_locked(final), "builds run side by side until they publish"
        assert is_held(stage.folder), "another build must not sweep it away"
        stage.publish()
        assert is_locked(final)
    assert not is_locked(final)
    assert (final / "a").read_text() == "a"


@pytest.mark.parametrize("kind", ["link", "file", "pipe"])
def test_only_a_real_folder_is_held(tmp_path: Path, kind: str) -> None:
    """A link would lock a folder elsewhere; a pipe would be waited for."""
    elsewhere, way = tmp_path / "elsewhere", tmp_path / f"{folders.PREFIX}way"
    elsewhere.mkdir()
    match kind:
        case "link":
            way.symlink_to(elsewhere)
        case "file":
            way.write_text("")
        case _:
            os.mkfifo(way)
            keeps = os.open(way, os.O_RDWR)  # with a writer at the other end an open would not wait, but succeed
    with pytest.raises(OSError, match=r"link|directory"):
        folders.hold(way)
    if kind == "pipe":
        os.close(keeps)
    with staging(tmp_path):  # whose sweep meets it
        pass
    assert way.is_symlink() or way.exists()
