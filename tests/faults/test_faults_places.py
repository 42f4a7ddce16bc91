"""Places that cannot be written, that fill up, that many write to at once, and where links lie in the way."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from faults.harness import NET, Tree, tree
from resnetgen.staging.folders import PREFIX
from support.helpers import Run
from support.work import PATIENCE

pytestmark = pytest.mark.fault

WIDE = "use: std\nname: net\ninput: 64x1x1\nstages: {head: flatten | fc 1024 | fc 256}\n"
COMMANDS = (
    "build net.yaml --target onnx --target caffe --output-dir place",
    "deploy net.yaml --server triton --output-dir place",
    "deploy net.yaml --server onnxruntime --output-dir place/served",
    "weights convert net.npz place/net.safetensors --spec net.yaml",
)
MAKES = {command: [command.split()[0], *command.split()[2:4]] for command in COMMANDS}


@pytest.fixture
def here(run: Run) -> Path:
    """A working folder with what the commands read."""
    Path("net.yaml").write_text(WIDE)
    assert run("build", "net.yaml", "--no-fold", "--output-dir", "other").code == 0
    assert run("weights", "convert", "other/net/net.onnx", "net.npz", "--spec", "net.yaml").code == 0
    Path("place").mkdir()
    return Path.cwd()


def start(command: str, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "resnetgen.cli", *command.split()]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before)


def refused(command: str, why: str, before: Callable[[], None] | None = None) -> None:
    """Exit 5, one error, and the place as it was."""
    was = tree(Path("place"))
    process = start(command, before)
    _, said = process.communicate()
    assert process.returncode == 5, said
    assert said.count("error[") == 1
    assert why in said
    assert "Traceback" not in said
    assert tree(Path("place")) == was


def without_privileges() -> None:
    """Root may write anywhere: it is started without the capabilities that say so."""
    if os.geteuid() == 0:
        drop, override, search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        for capability in (override, search):
            assert ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0) == 0


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(words) for words in MAKES.values()])
def test_a_folder_that_cannot_be_written(here: Path, command: str) -> None:
    Path("place").chmod(0o555)
    here.chmod(0o555)  # Triton's unfinished files stand beside the repository
    try:
        refused(command, "Permission denied", without_privileges)
    finally:
        here.chmod(0o755)
    Path("place").chmod(0o755)
    assert start(command).wait() == 0, "the control: it was the permission"


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(words) for words in MAKES.values()])
@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_a_file_that_may_not_grow(here: Path, command: str, size: int) -> None:
    refused(command, "File too large", lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))


@pytest.fixture
def disk(here: Path) -> Iterator[Path]:
    """A disk of 256 KiB, which one network nearly fills."""
    place = here / "place"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(words) for words in MAKES.values()])
def test_a_full_disk(disk: Path, command: str) -> None:
    """The first time there is nothing; the second time what stands there stays."""
    refused(command, "No space left on device")
    Path("net.yaml").write_text(NET)
    if command.startswith("weights"):
        return
    first = start(command)
    assert first.wait() == 0, first.communicate()
    Path("net.yaml").write_text(WIDE.replace("name: net\n", "").replace("64x1x1", "3x8x8").replace("256", "4"))
    refused(command, "No space left on device")


@pytest.mark.parametrize("command", COMMANDS[:3], ids=["build", "triton", "onnxruntime"])
def test_sixteen_to_one_place(here: Path, command: str) -> None:
    """Of different weights, so that a mixture would show: the manifest is that of the files, each version is whole."""
    processes = [start(f"{command} --seed {seed}") for seed in range(16)]
    said = [(process.communicate(), process.returncode) for process in processes]
    assert not [text for text, code in said if code]
    assert not [name for name in tree(here) if PREFIX in name]
    place = here / "place"
    if "triton" in command:
        assert sorted(int(version.name) for version in (place / "net").iterdir() if version.is_dir()) == [*range(1, 17)]
        models = {sha256(model.read_bytes()).hexdigest() for model in place.rglob("model.onnx")}
        assert len(models) == 16
    else:
        assert not mixtures(place)


def test_a_version_that_is_taken_as_it_is_chosen(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What sixteen deploys meet now and then, at will."""
    from resnetgen.deploy import existing

    real, asked = existing.next_version, []

    def behind(model: Path) -> int:
        asked.append(model)
        return 1 if len(asked) < 3 else real(model)

    assert run(*COMMANDS[1].split()).code == 0
    monkeypatch.setattr(existing, "next_version", behind)
    assert run(*COMMANDS[1].split()).code == 0
    assert (here / "place/net/2").is_dir()


def mixtures(folder: Path) -> list[str]:
    """Files that are not those of their manifest."""
    return [
        name
        for manifest in folder.rglob("manifest.json")
        for name, entry in json.loads(manifest.read_text())["files"].items()
        if sha256((manifest.parent / name).read_bytes()).hexdigest() != entry["sha256"]
    ]


def test_two_targets_at_once_are_both_in_the_manifest(here: Path) -> None:
    build = "build net.yaml --output-dir place --target"
    processes = [start(f"{build} {target}") for target in ("onnx", "caffe", "ir") * 3]
    assert [process.wait() for process in processes] == [0] * 9
    files = json.loads(Path("place/net/manifest.json").read_text())["files"]
    assert sorted(files) == ["net.caffemodel", "net.ir.txt", "net.onnx", "net.prototxt"]
    assert not mixtures(Path("place"))
    Path("place/net/net.onnx").write_bytes(b"another")
    assert mixtures(Path("place")) == ["net.onnx"], "the control"


@pytest.mark.parametrize("link", ["symbolic", "hard", "dangling"])
def test_links_at_final_names_are_replaced(here: Path, link: str) -> None:
    precious = here / "precious"
    precious.write_text("mine")
    Path("place/net").mkdir()
    for name in ("net.onnx", "net.prototxt", "net.caffemodel", "manifest.json"):
        if link == "hard":
            Path("place/net", name).hardlink_to(precious)
        else:
            Path("place/net", name).symlink_to(precious if link == "symbolic" else here / "nowhere")
    assert start(COMMANDS[0]).wait() == 0
    assert precious.read_text() == "mine"
    assert not (here / "nowhere").exists()
    assert not mixtures(Path("place"))
    assert not [
        path for path in Path("place").rglob("*") if path.is_symlink() or path.stat().st_nlink != 1 > path.is_dir()
    ]


@pytest.mark.parametrize("exists", [True, False], ids=["elsewhere", "dangling"])
@pytest.mark.parametrize("command", [COMMANDS[0], COMMANDS[1]], ids=["build", "triton"])
def test_a_link_in_place_of_the_folder_is_not_followed(here: Path, command: str, exists: bool) -> None:
    elsewhere = here / "elsewhere"
    if exists:
        elsewhere.mkdir()
        (elsewhere / "mine").write_text("mine")
    Path("place/net").symlink_to(elsewhere)
    refused(command, "place/net")
    assert tree(elsewhere) == ({"mine": sha256(b"mine").hexdigest()} if exists else {})


def test_links_that_look_like_staging_folders_are_left_alone(here: Path) -> None:
    precious = here / "precious"
    precious.mkdir()
    (precious / "mine").write_text("mine")
    Path("place/net").mkdir()
    planted = Path("place/net", f"{PREFIX}planted")
    planted.symlink_to(precious)
    pipe = Path("place/net", f"{PREFIX}pipe")
    os.mkfifo(pipe)  # opening it would wait for ever
    process = start(COMMANDS[0])
    assert process.wait(PATIENCE) == 0
    assert (precious / "mine").read_text() == "mine"
    assert planted.is_symlink()


def test_an_unwritten_tree_is_told_from_a_written_one(here: Path) -> None:
    """The control of `refused`."""
    was: Tree = tree(here)
    Path("place", "stray").write_text("")
    assert tree(here) != was
