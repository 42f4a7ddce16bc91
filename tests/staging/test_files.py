"""Outputs appear whole or not at all, and a killed build leaves nothing behind for long."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from stat import S_IFCHR

import pytest

from resnetgen.build import run
from resnetgen.build.options import Options
from resnetgen.errors import Failure
from resnetgen.staging import folders
from resnetgen.staging.files import Output, staging
from resnetgen.staging.folders import PREFIX
from support.helpers import TINY

NEW, OLD = 2_000_000_000, 1_000_000_000


def leftover(final: Path, name: str, age: float) -> Path:
    folder = final / name
    folder.mkdir()
    (folder / "half.onnx").write_bytes(b"half")
    os.utime(folder, (age, age))
    return folder


def test_a_killed_builds_folder_is_removed_by_the_next_build(tmp_path: Path) -> None:
    """However young it is: what lives is held by a lock."""
    dead = leftover(tmp_path, f"{PREFIX}dead", OLD)
    young = leftover(tmp_path, f"{PREFIX}young", NEW)
    foreign = leftover(tmp_path, ".staging-of-another-program", OLD)
    with staging(tmp_path) as alive:
        os.utime(alive.folder, (OLD, OLD))
        with staging(tmp_path):
            pass
        assert alive.folder.is_dir(), "a folder whose build goes on is held"
    left = [folder.exists() for folder in (dead, young, foreign, alive.folder)]
    assert left == [False, False, True, False]


def test_a_folder_that_is_swept_before_it_is_held_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []

    def mkdtemp(prefix: str, dir: Path) -> str:
        made.append(dir / f"{prefix}{len(made)}")
        if len(made) > 2:
            made[-1].mkdir()
        return str(made[-1])

    monkeypatch.setattr(folders.tempfile, "mkdtemp", mkdtemp)
    with staging(tmp_path) as stage:
        assert stage.folder == made[2]


@pytest.mark.parametrize("fails", ["onnx", "caffemodel", "manifest.json", "sync"])
def test_what_was_published_is_taken_back_when_the_block_fails(
    tmp_path: Path, fails: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {"onnx": "old", "gone": "old"}
    for name, text in old.items():
        (tmp_path / name).write_text(text)
    replace, sync = os.replace, folders.sync

    def failing_replace(source: Path, place: Path) -> None:
        if place.name == fails and "kept" not in source.name:
            raise OSError(errno.EIO, "Input/output error", str(source), None, str(place))
        replace(source, place)

    def failing_sync(path: Path) -> None:
        if fails == "sync" and path == tmp_path:
            raise OSError(errno.EIO, "Input/output error")
        sync(path)

    monkeypatch.setattr(os, "replace", failing_replace)
    monkeypatch.setattr(folders, "sync", failing_sync)

    def publish() -> None:
        with staging(tmp_path) as stage:
            for name in ("onnx", "caffemodel", "manifest.json"):
                stage.write_text(name, "new")
            stage.publish(without=["gone"])

    with pytest.raises(Failure, match=f"cannot write {tmp_path}.*: Input/output error"):
        publish()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == old


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_a_folder_and_files_are_published_together(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a file system that has no hard links."""
    (tmp_path / "config").write_text("old")

    def link(source: Path, place: Path, follow_symlinks: bool) -> None:
        if not source.exists():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", link)

    def publish() -> None:
        with staging(tmp_path) as stage:
            stage.write_text("model", "new")
            stage.publish_folder({"model": "1/model"}, tmp_path / "repository" / "net")
            assert (tmp_path / "repository/net/1/model").read_text() == "new"
            stage.write_text("config", "new")
            stage.publish()
            if not (tmp_path / "fine").exists():
                raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Failure, match="No space left"):
        publish()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"config": "old"}
    (tmp_path / "fine").write_text("")
    publish()
    assert (tmp_path / "config").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config", "fine", "repository"]


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


SPECIAL = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a socket": _socket,
}


@pytest.mark.parametrize("role", ["written", "removed"])
@pytest.mark.parametrize("kind", SPECIAL)
def test_only_files_and_links_are_replaced(
    tmp_path: Path, kind: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root a rename would replace even a device: `verify --save-outputs /dev/full` did."""
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    place = Path("place")
    SPECIAL[kind](place)
    before = place.lstat()

    def publish() -> None:
        with staging(Path()) as stage:
            stage.write_text("place" if role == "written" else "other", "text")
            stage.publish(without=["place"] if role == "removed" else [])

    with pytest.raises(Failure, match=f"cannot write place: {kind} has that name"):
        publish()
    assert (place.lstat().st_ino, place.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir() == ["place"]


def test_a_device_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's test can make no device, so this one has only the mode of one."""
    (tmp_path / "place").write_text("old")
    lstat = Path.lstat

    def as_device(path: Path) -> os.stat_result:
        found = lstat(path)
        return os.stat_result((S_IFCHR | 0o666, *found[1:])) if path.name == "place" else found

    monkeypatch.setattr(Path, "lstat", as_device)

    def publish() -> None:
        with staging(tmp_path) as stage:
            stage.write_text("place", "new")
            stage.publish()

    with pytest.raises(Failure, match="place: a device has that name"):
        publish()
    assert (tmp_path / "place").read_text() == "old"


def test_a_link_in_the_way_of_the_sweep_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "mine").write_text("mine")
    final = tmp_path / "final"
    final.mkdir()
    (final / f"{PREFIX}link").symlink_to(precious)
    os.utime(final / f"{PREFIX}link", (OLD, OLD), follow_symlinks=False)
    with staging(final):
        pass
    assert (precious / "mine").read_text() == "mine"


# Builds that are killed

KILLED = """
import os, signal, sys
from importlib import import_module
from faults.careless import write_in_place
from resnetgen.cli import run

place, name, at, careless, *sys.argv[1:] = sys.argv[1:]
module, _, attribute = place.partition(":")
owner = getattr(import_module(module), attribute) if attribute else import_module(module)
real, calls = getattr(owner, name), 0

def die(*args, **options):
    global calls
    calls += 1
    if calls == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **options)

if careless == "careless":
    write_in_place()
setattr(owner, name, die)
run()
"""
MOMENTS = {
    "at the first bytes": ("resnetgen.staging.files:Output", "write", 1),
    "at later bytes": ("resnetgen.staging.files:Output", "write", 8),
    "as files go to the disk": ("os", "fsync", 1),
    "before the first rename": ("os", "replace", 1),
    "between two renames": ("os", "replace", 2),
    "before the manifest": ("os", "replace", 3),
}


def kill(folder: Path, moment: str, careless: str = "") -> None:
    """Build with another seed, and kill that build at a call of a function."""
    place, name, at = MOMENTS[moment]
    words = ["build", "tiny.yaml", "--target", "onnx", "--target", "caffe", "--seed", "1"]
    command = [sys.executable, "-c", KILLED, place, name, str(at), careless, *words]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(command, cwd=folder, capture_output=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == -signal.SIGKILL, done.stderr


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "generated/tiny").iterdir() if path.is_file()}


def build(folder: Path, seed: int) -> dict[str, bytes]:
    options = Options(output_dir=folder / "generated", targets=("onnx", "caffe"), seed=seed)
    run.build([str(folder / "tiny.yaml")], options)
    return files(folder)


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes], dict[str, bytes]]:
    """A folder in which tiny.yaml was built twice, and the files of both builds: the second are there."""
    folder = tmp_path_factory.mktemp("builds")
    (folder / "tiny.yaml").write_text(TINY)
    return folder, build(folder, 1), build(folder, 0)


@pytest.fixture
def built(builds: tuple[Path, dict[str, bytes], dict[str, bytes]], tmp_path: Path) -> tuple[dict[str, bytes], ...]:
    """The files of two builds of tiny.yaml: of another seed, and of the one that is there."""
    folder, new, old = builds
    copytree(folder, tmp_path, dirs_exist_ok=True)
    return new, old


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_file_of_a_killed_build_is_the_old_one_or_the_new(
    tmp_path: Path, moment: str, built: tuple[dict[str, bytes], ...]
) -> None:
    """What else is left goes with the next build."""
    new, old = built
    kill(tmp_path, moment)
    left = files(tmp_path)
    assert all(data in (old.get(name), new.get(name)) for name, data in left.items() if not name.startswith(PREFIX))
    assert any(path.name.startswith(PREFIX) for path in (tmp_path / "generated/tiny").iterdir())
    assert build(tmp_path, 1) == new
    assert not [path for path in (tmp_path / "generated/tiny").iterdir() if path.name not in new]


@pytest.mark.parametrize("moment", ["at the first bytes", "at later bytes"])
def test_a_program_that_writes_in_place_is_caught(
    tmp_path: Path, moment: str, built: tuple[dict[str, bytes], ...]
) -> None:
    """Negative control of the test above."""
    new, old = built
    kill(tmp_path, moment, careless="careless")
    assert [name for name, data in files(tmp_path).items() if data not in (old.get(name), new.get(name))]


def test_what_is_hashed_is_what_is_written(tmp_path: Path) -> None:
    from hashlib import sha256

    path = tmp_path / "file"
    with Output(path) as output:
        output.write(b"some")
        output.write(memoryview(b"thing" * 1000))
    assert (output.size, output.sha256) == (path.stat().st_size, sha256(path.read_bytes()).hexdigest())
