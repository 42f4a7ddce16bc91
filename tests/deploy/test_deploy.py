"""resnetgen deploy --server triton: repositories, versions, and options that are refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest

from resnetgen.build.options import Options
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.deploy import triton
from resnetgen.errors import Code, Failure, FileError
from resnetgen.formats.onnx import write as onnx_writer
from resnetgen.staging import locks
from resnetgen.staging.files import Staging
from support.deployed import MODEL, TINY, TRITON
from support.helpers import Run
from support.triton_config import differences
from support.work import PATIENCE


@pytest.fixture(autouse=True)
def _files(run: Run) -> None:
    """A spec, and the labels of its classes."""
    Path("tiny.yaml").write_text(TINY)
    Path("labels.txt").write_text("cat\ndog\nhen\nyak\n")


def everything() -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def folders() -> list[Path]:
    return [path for path in Path().rglob("*") if path.is_dir()]


# Triton


def test_a_repository(run: Run) -> None:
    result = run(*TRITON, "--labels", "labels.txt", "--max-batch", "8", "--preferred-batch", "4", "--verify")
    assert result.code == 0, result.err
    listed = [line.split()[0] for line in result.out.splitlines() if line.startswith("repository")]
    assert sorted(listed) == sorted(name for name in everything() if name.startswith("repository"))
    assert set(listed) == {f"repository/tiny/{name}" for name in ("1/model.onnx", "config.pbtxt", "labels.txt")}
    assert (MODEL / "labels.txt").read_text() == "cat\ndog\nhen\nyak\n"
    onnx.checker.check_model(str(MODEL / "1/model.onnx"), full_check=True)
    text = (MODEL / "config.pbtxt").read_text()
    for line in ('name: "tiny"', "max_batch_size: 8", "dims: [ 3, 16, 16 ]", "preferred_batch_size: 4"):
        assert line in text
    assert differences(text, "tiny", MODEL / "1/model.onnx", "labels.txt") == []


def test_a_version_is_added_and_none_is_changed(run: Run) -> None:
    labels = ("--labels", "labels.txt")
    assert run(*TRITON, *labels).code == 0
    first = everything()
    result = run(*TRITON, *labels, "--seed", "1")
    assert result.code == 0, result.err
    assert [line.split()[0] for line in result.out.splitlines()] == ["repository/tiny/2/model.onnx"]
    assert first.items() <= everything().items()
    assert run(*TRITON, *labels, "--seed", "2", "--model-version", "7", "--instances", "2").code == 0
    assert run(*TRITON, *labels, "--instances", "2").code == 0
    assert {path.parent.name for path in MODEL.rglob("model.onnx")} == {"1", "2", "7", "8"}
    assert (MODEL / "1/model.onnx").read_bytes() == first["repository/tiny/1/model.onnx"]
    assert "count: 2" in (MODEL / "config.pbtxt").read_text()
    assert not list(Path("repository").rglob(".*"))
    before = everything()
    result = run(*TRITON, *labels, "--model-version", "2")
    assert result.code == Exit.IO
    assert "repository/tiny/2 exists, and versions are never changed" in result.err
    assert "hint: leave out --model-version for the next one that is free\n" in result.err
    assert everything() == before


def test_a_server_that_polls_sees_nothing_unfinished(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton takes each folder of a repository for a model, and loads a model anew when its own folder changes."""
    seen: list[set[str]] = []
    real = onnx_writer._write_tensor

    def look(*args: Any) -> None:
        seen.append({path.as_posix() for path in Path("repository").rglob("*") if path.is_dir()})
        real(*args)

    monkeypatch.setattr(onnx_writer, "_write_tensor", look)
    assert run(*TRITON).code == 0
    assert run(*TRITON).code == 0
    assert all(folders in (set(), {"repository/tiny", "repository/tiny/1"}) for folders in seen)
    monkeypatch.setattr("resnetgen.deploy.triton.beside", lambda repository: repository)
    assert run(*TRITON).code == 0
    assert any("/.staging-" in name for name in seen[-1])
    assert not list(Path().rglob(".staging-*"))


def _deploy_at_once(seed: int, barrier: Any, retries: bool, codes: Any) -> None:
    """In a process of its own: deploys, but waits for the others before the first folder is published."""
    real, waited = Staging.publish_folder, []

    def together(*args: Any) -> None:
        if not waited:
            waited.append(barrier.wait(PATIENCE))
        try:
            real(*args)
        except FileExistsError:
            if not retries:
                raise FileError.of(Code.OUTPUT, "something stands there") from None
            raise

    Staging.publish_folder = together  # type: ignore[method-assign]
    locks.MAX_WAIT = PATIENCE
    try:
        triton.deploy("tiny.yaml", Options(output_dir=Path("repository"), seed=seed), triton.ModelOptions())
        codes.put(Exit.DONE)
    except Failure as failure:
        codes.put(exit_code(failure))


@pytest.mark.parametrize("retries", [True, False])
def test_deploys_at_the_same_time_give_a_version_each(run: Run, retries: bool) -> None:
    """Each has seen that no model stands there. Without another look, one alone would get in."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["resnetgen.deploy.triton", "onnxruntime"])
    barrier, codes, seeds = context.Barrier(3), context.Queue(), range(3)
    running = [context.Process(target=_deploy_at_once, args=(seed, barrier, retries, codes)) for seed in seeds]
    for process in running:
        process.start()
    ended = sorted(codes.get(timeout=PATIENCE) for _ in running)
    for process in running:
        process.join(PATIENCE)
    models = {path.parent.name: path.read_bytes() for path in MODEL.rglob("model.onnx")}
    if not retries:
        assert (ended, models.keys()) == ([Exit.DONE, Exit.IO, Exit.IO], {"1"})
        return
    assert (ended, models.keys()) == ([Exit.DONE] * 3, {"1", "2", "3"})
    alone = [run(*TRITON[:-1], f"alone{seed}", "--seed", str(seed)).code for seed in seeds]
    assert alone == [0, 0, 0]
    assert sorted(models.values()) == sorted(Path(f"alone{seed}/tiny/1/model.onnx").read_bytes() for seed in seeds)
    assert (MODEL / "config.pbtxt").read_bytes() == Path("alone0/tiny/config.pbtxt").read_bytes()
    assert not list(Path().rglob(".staging-*"))


def test_external_data_lies_in_the_model_s_own_folder(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_writer, "plan", partial(onnx_writer.plan, limit=1000))
    assert run(*TRITON).code == 0
    folder = MODEL / "1/model.onnx"
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "model.onnx.data"}
    onnxruntime.InferenceSession(folder / "model.onnx")


FOREIGN: dict[str, tuple[Callable[[], object], str]] = {
    "another's": (
        lambda: (MODEL / "config.pbtxt").write_text('name: "tiny"\n'),
        "repository/tiny/config.pbtxt:1:1: error[output]: this model was not written by resnetgen",
    ),
    "no config": (
        lambda: (MODEL / "config.pbtxt").unlink(),
        "error[output]: repository/tiny exists and has no config.pbtxt",
    ),
    "another input": (
        lambda: (MODEL / "config.pbtxt").write_text((MODEL / "config.pbtxt").read_text().replace("16, 16", "32, 32")),
        "repository/tiny/config.pbtxt:6:1: error[output]: the existing model has another input",
    ),
    "other labels": (
        lambda: (MODEL / "labels.txt").write_text("dog\ncat\nhen\nyak\n"),
        "error[output]: the new version has other labels than repository/tiny/labels.txt",
    ),
}


@pytest.mark.parametrize(("change", "message"), FOREIGN.values(), ids=FOREIGN)
def test_another_programs_model_is_refused(run: Run, change: Callable[[], object], message: str) -> None:
    assert run(*TRITON, "--labels", "labels.txt").code == 0
    change()
    before = everything()
    result = run(*TRITON, "--labels", "labels.txt")
    assert result.code == Exit.IO
    assert result.err.startswith(message)
    assert "hint: --name gives the new model another name" in result.err
    assert everything() == before


def test_a_full_disk_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_writer, "_write_tensor", full)
    before = everything()
    assert run(*TRITON).code == Exit.IO
    assert everything() == before
    assert folders() == []


# What is refused


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--name", "a/b"), Exit.USAGE, "error[bad-name]: invalid model name for Triton: 'a/b'"),
        (("--name", ".."), Exit.USAGE, "error[bad-name]: invalid model name for Triton: '..'"),
        (
            ("--batch", "2", "--max-batch", "8"),
            Exit.USAGE,
            "--max-batch 8 needs a batch that can vary, and --batch fixes it at 2",
        ),
        (("--preferred-batch", "4"), Exit.USAGE, "a preferred batch of 4 is above --max-batch 0"),
        (("--queue-delay", "9", "--max-batch", "1"), Exit.USAGE, "waits for a batch to fill, and --max-batch is 1"),
        (("--tensorrt", "fp16"), Exit.USAGE, "TensorRT runs on GPUs only"),
        (("--labels", "none.txt"), Exit.IO, "error[missing-file]: no such file: none.txt"),
        (("--labels", "few.txt"), Exit.IO, "few.txt:2:1: error[labels]: 2 labels for 4 classes (tiny.yaml:7, head/"),
        (("--labels", "many.txt"), Exit.IO, "many.txt:5:1: error[labels]: 6 labels for 4 classes (tiny.yaml:7, head/"),
        (("--labels", "hole.txt"), Exit.IO, "hole.txt:2:1: error[labels]: a line without a label"),
        (("--labels", "empty.txt"), Exit.IO, "error[labels]: empty.txt: 0 labels for 4 classes"),
        (("--labels", "latin.txt"), Exit.IO, "error[not-text]: latin.txt is not UTF-8 text: byte 1 cannot be read"),
        (("--server", "onnxruntime", "--max-batch", "8"), Exit.USAGE, "--max-batch is for --server triton"),
        (("--server", "onnxruntime", "--latest", "1"), Exit.USAGE, "--latest is for --server triton or kserve"),
        (("--service", "a"), Exit.USAGE, "--service is for --server kserve"),
        (("--server", "onnxruntime", "-o", "mine"), Exit.IO, "mine/model.onnx exists, and no earlier deploy wrote"),
    ],
)
def test_errors(run: Run, args: tuple[str, ...], code: Exit, message: str) -> None:
    texts = {"few": b"a\nb\n", "many": b"a\n" * 6, "hole": b"a\n\nb\nc\n", "empty": b"", "latin": b"a\xff\n"}
    for name, data in texts.items():
        Path(f"{name}.txt").write_bytes(data)
    Path("mine").mkdir()
    Path("mine/model.onnx").write_bytes(b"precious")
    before = everything()
    result = run(*TRITON, *args)
    assert (result.code, result.out) == (code, "")
    assert message in result.err
    assert everything() == before
    assert folders() == [Path("mine")]


def test_labels_of_other_systems(run: Run) -> None:
    Path("windows.txt").write_bytes("\ufeffcat\r\nd\u00e9g\r\nhen\r\nyak".encode())
    assert run(*TRITON, "--labels", "windows.txt").code == 0
    assert (MODEL / "labels.txt").read_bytes() == "cat\nd\u00e9g\nhen\nyak\n".encode()
