"""The lock of a folder in which files are published: who can take it, how long others wait, and what is left of it."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.staging import locks
from resnetgen.staging.files import staging
from resnetgen.staging.locks import LOCK, publishing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited, and pass at once."""
    found: list[float] = []
    monkeypatch.setattr(locks.time, "sleep", found.append)
    return found


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(locks, "tell", found.append)
    return found


def publish(folder: Path) -> None:
    with staging(folder) as stage:
        stage.write_text("file", "new")
        stage.publish()


def test_a_lock_on_the_folder_itself_makes_no_one_wait(tmp_path: Path, slept: list[float]) -> None:
    """Whoever can read a folder can lock it, from now on and for ever."""
    neighbour = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(neighbour, fcntl.LOCK_EX)
    publish(tmp_path)
    os.close(neighbour)
    assert not slept
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_lock_can_be_opened_by_its_owner_alone(tmp_path: Path) -> None:
    with publishing(tmp_path):
        assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o600
        assert (tmp_path / LOCK).read_text() == str(os.getpid())
    assert not [*tmp_path.iterdir()]


def test_who_waits_says_for_whom_and_gives_up(tmp_path: Path, slept: list[float], told: list[str]) -> None:
    (tmp_path / "file").write_text("old")
    with publishing(tmp_path), pytest.raises(Failure) as caught:
        publish(tmp_path)
    assert exit_code(caught.value) is Exit.IO
    held = f"process {os.getpid()}"
    message = f"cannot write {tmp_path}: {held} has been publishing there for 60 seconds; if none is, remove {LOCK}"
    assert message in str(caught.value)
    assert told == [f"waiting for {held}, which publishes in {tmp_path}"]
    assert sum(slept) == pytest.approx(locks.MAX_WAIT)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}


def test_who_waits_goes_on_when_the_other_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = publishing(tmp_path)
    other.__enter__()
    ends = iter([lambda: None, lambda: other.__exit__(None, None, None)])
    monkeypatch.setattr(locks.time, "sleep", lambda _: next(ends)())
    publish(tmp_path)
    assert not [*ends]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lock_of_a_killed_process_holds_nothing(tmp_path: Path, slept: list[float]) -> None:
    code = (
        f"import os; from resnetgen.staging.locks import publishing as p; from pathlib import Path; "
        f"held = p(Path({str(tmp_path)!r})); held.__enter__(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert (tmp_path / LOCK).exists()
    publish(tmp_path)
    assert not slept
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_that_its_holder_has_removed_meanwhile_is_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was opened before it was removed, and locked after: another may hold a new one."""
    real, opened = os.open, 0

    def open_late(path: Path, *rest: int) -> int:
        nonlocal opened
        descriptor = real(path, *rest)
        if Path(path).name == LOCK:
            opened += 1
            if opened == 1:
                os.unlink(path)
        return descriptor

    monkeypatch.setattr(os, "open", open_late)
    with publishing(tmp_path):
        assert opened == 2
        assert (tmp_path / LOCK).exists()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_something_else_of_its_name_is_an_error(tmp_path: Path, kind: str, slept: list[float]) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    match kind:
        case "link":
            (tmp_path / LOCK).symlink_to(target)
        case _:
            os.mkfifo(tmp_path / LOCK)
    with pytest.raises(Failure, match="cannot write"):
        publish(tmp_path)
    assert not slept
    assert target.read_text() == "mine"
    assert not (tmp_path / "file").exists()


def test_a_lock_of_another_user_is_waited_for(
    tmp_path: Path, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: Path, *rest: int, **named: int) -> int:
        if Path(path).name == LOCK:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Failure, match="Permission denied"):
        publish(tmp_path)
    assert not slept, "the folder cannot be written"
    (tmp_path / LOCK).symlink_to("nowhere")
    with pytest.raises(Failure, match="another process has been publishing there for 60 seconds"):
        publish(tmp_path)


def test_where_there_are_no_locks_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    publish(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_is_slow_makes_no_other_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are on the disk before the lock is taken."""
    synced: list[bool] = []
    sync = os.fsync
    with staging(tmp_path) as stage:
        monkeypatch.setattr(os, "fsync", lambda file: (synced.append((tmp_path / LOCK).exists()), sync(file)))
        stage.write_text("file", "new")
        stage.publish()
    assert synced == [False, True], "the file without the lock; then the folder, quickly"
