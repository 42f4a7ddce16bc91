"""Standard streams that fail, and what is printed of files and names: for every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnetgen.cli.exits import Exit
from resnetgen.cli.output import MAX_LINE
from resnetgen.cli.table import Table
from support.helpers import TINY, Run

NASTY = "a\x1b]0;title\x07\r\u202eb\u2028c"
SHOWN = r"a\x1b]0;title\x07\r\u202eb\u2028c"
PREPROCESS = "preprocess: {color: rgb, resize: 32}\n"

PUBLISHING = {
    "build": "build tiny.yaml --verify",
    "deploy": "deploy tiny.yaml --server onnxruntime --output-dir new",
    "weights convert": "weights convert weights.npz new.npz --spec tiny.yaml",
}
"""Commands that publish files."""
ANSWERING = {
    "the help": "--help",
    "diff, equal": "diff tiny.yaml tiny.yaml",
    "schema": "schema",
    "list": "list resnet20_cifar",
    "summary": "summary tiny.yaml",
    "runtimes": "runtimes",
    "weights show": "weights show weights.npz",
    "verify": "verify tiny.yaml",
    "predict": "predict served image.png",
    "predict, as a request": "predict served image.png --request",
}
"""Commands whose answer is what they print."""
FAST = {"the help", "diff, equal"}


def marked(names: object) -> list[object]:
    """The others run with the faults."""
    return [pytest.param(n, marks=() if n in FAST else pytest.mark.fault) for n in names]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the commands need."""
    folder = tmp_path_factory.mktemp("output")
    (folder / "tiny.yaml").write_text(TINY + PREPROCESS)
    (folder / "wide.yaml").write_text(TINY.replace("3x3, 16;", "3x3, 24;"))
    Image.new("RGB", (40, 40)).save(folder / "image.png")
    for line in (
        "build tiny.yaml --target onnx --target caffe",
        "deploy tiny.yaml --server onnxruntime --output-dir served",
        "weights convert generated/tiny/tiny.caffemodel weights.npz --spec tiny.yaml",
    ):
        assert shell(folder, line).returncode == 0
    return folder


CLOSED = "<&- >&- 2>&-"
GONE = "| no one"
"""Redirection into a pipe whose reader has gone before the program starts."""


def shell(
    folder: Path, line: str, streams: str = "", program: str = "-m resnetgen.cli"
) -> subprocess.CompletedProcess[str]:
    """Run a command line of the program with its streams redirected; the code is the program's, also before a pipe."""
    stdout = subprocess.PIPE
    if streams == GONE:
        reading, stdout = os.pipe()
        os.close(reading)
    script = f"{sys.executable} {program} {line} {streams.replace(GONE, '')}; exit ${{PIPESTATUS[0]}}"
    command = ["bash", "-c", script]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=folder, env=os.environ)
    if streams == GONE:
        os.close(stdout)
        done.stdout = ""
    return done


def assert_no_traceback(done: subprocess.CompletedProcess[str]) -> None:
    assert "Traceback" not in done.stderr + done.stdout
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("name", marked(ANSWERING))
def test_an_answer_that_is_lost_is_exit_5(name: str, folder: Path) -> None:
    for streams in (">&-", ">/dev/full"):
        done = shell(folder, ANSWERING[name], streams)
        assert_no_traceback(done)
        assert done.returncode == Exit.IO, (streams, done.stderr)
        assert done.stderr.startswith("error[output]: the output cannot be written: ")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", marked(ANSWERING))
def test_a_reader_that_has_gone_is_no_failure(name: str, folder: Path) -> None:
    for streams in (GONE, "| head -1", "| head -c 1"):
        done = shell(folder, ANSWERING[name], streams)
        assert_no_traceback(done)
        assert (done.returncode, done.stderr) == (0, ""), streams


def test_a_program_that_does_not_handle_a_reader_that_has_gone_fails(folder: Path) -> None:
    """Negative control of the test above."""
    assert "BrokenPipeError" in shell(folder, "'print(1)'", GONE, program="-c").stderr


@pytest.mark.parametrize("name", marked(ANSWERING))
def test_a_stderr_that_fails_is_passed_over(name: str, folder: Path) -> None:
    said = shell(folder, ANSWERING[name]).stdout
    for streams in ("2>&-", "2>/dev/full", "<&- 2>&-"):
        done = shell(folder, ANSWERING[name], streams)
        assert done.returncode == 0, streams
        assert name == "predict, as a request" or done.stdout == said


@pytest.mark.parametrize(
    "streams", ["", GONE, *(pytest.param(s, marks=pytest.mark.fault) for s in ("| head -c 1", "2>&-", "2>/dev/full"))]
)
def test_a_difference_is_exit_1_whoever_reads(streams: str, folder: Path) -> None:
    done = shell(folder, "diff tiny.yaml wide.yaml", streams)
    assert done.returncode == Exit.DIFFERENT
    assert_no_traceback(done)


@pytest.mark.parametrize("streams", [">&-", ">/dev/full"])
def test_a_difference_that_nobody_is_told_of_is_exit_5(streams: str, folder: Path) -> None:
    assert shell(folder, "diff tiny.yaml wide.yaml", streams).returncode == Exit.IO


@pytest.mark.parametrize(
    "streams",
    [*(pytest.param(s, marks=pytest.mark.fault) for s in (">&-", "2>&-", ">/dev/full", GONE)), "2>/dev/full", CLOSED],
)
def test_an_error_keeps_its_exit_code(streams: str, folder: Path) -> None:
    assert shell(folder, "summary none.yaml", streams).returncode == Exit.IO
    assert shell(folder, "nonsense", streams).returncode == Exit.USAGE
    done = shell(folder, "summary image.png.yaml", streams)
    assert_no_traceback(done)


@pytest.mark.parametrize("name", marked(PUBLISHING))
def test_what_was_published_stays_and_a_lost_report_is_a_warning(name: str, folder: Path, tmp_path: Path) -> None:
    for streams in (">&-", ">/dev/full", GONE, "2>&-", "2>/dev/full", CLOSED):
        place = tmp_path / streams.replace("/", "_").replace(" ", "_")
        place.mkdir()
        for file in ("tiny.yaml", "weights.npz"):
            (place / file).write_bytes((folder / file).read_bytes())
        done = shell(place, PUBLISHING[name], streams)
        assert_no_traceback(done)
        assert done.returncode == 0, (streams, done.stderr)
        assert len([path for path in place.rglob("*") if path.is_file()]) > 2
        if streams in (">&-", ">/dev/full"):
            assert done.stderr.startswith("warning: the output cannot be written: ")
            assert "all files are in place" in done.stderr


def test_a_report_that_is_lost_is_a_warning(folder: Path) -> None:
    done = shell(folder, "build tiny.yaml", ">/dev/full")
    assert done.returncode == 0
    assert done.stderr == (
        "warning: the output cannot be written: No space left on device; "
        "all files are in place, but this report on them is lost\n"
    )


def test_a_file_never_takes_the_number_of_a_closed_stream(folder: Path, tmp_path: Path) -> None:
    """Else what a library writes to stderr would stand in a model."""
    for name in ("tiny.yaml", "weights.npz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert shell(tmp_path, "build tiny.yaml", CLOSED).returncode == 0
    name = "generated/tiny/tiny.onnx"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


# Names and texts of files


def test_every_line_is_printable_and_a_long_one_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", ">count")
    table.add_row(NASTY, "1")
    table.add_row("x" * 10_000_000, "2")
    table.add_row(":smile: [bold]", "3")
    table.print()
    shown = capsys.readouterr().out
    assert SHOWN in shown
    assert ":smile: [bold]" in shown
    assert max(map(len, shown.splitlines())) < MAX_LINE
    assert all(line.isprintable() for line in shown.splitlines())


def test_names_in_a_weight_file(run: Run) -> None:
    with Path("w.npz").open("wb") as file:
        np.savez(file, **{"x" * 500: np.zeros(3, np.float32)})
    assert "x" * 500 in run("weights", "show", "w.npz").out


def test_paths(run: Run) -> None:
    Path(f"{NASTY}.npz").write_bytes(b"nothing")
    result = run("weights", "show", f"{NASTY}.npz")
    assert result.code == Exit.MODEL
    assert SHOWN in result.err
    assert run("build", "tiny.yaml").code == 0
    Path("generated").rename(NASTY)
    result = run("build", "tiny.yaml", "--output-dir", NASTY)
    assert SHOWN in result.out
    result = run("weights", NASTY)  # a usage error is click's own text
    assert result.code == Exit.USAGE
    assert "\x1b" not in result.err


def test_a_path_that_is_not_utf8(run: Run) -> None:
    name = os.fsdecode(b"caf\xe9.npz")
    Path(name).write_bytes(b"nothing")
    assert r"caf\xe9.npz" in run("weights", "show", name).err


def test_labels_from_a_name(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.yaml").write_text(TINY + PREPROCESS)
    assert run("deploy", "tiny.yaml", "--server", "onnxruntime", "-o", "served").code == 0
    Image.new("RGB", (40, 40)).save(f"{NASTY}.png")
    assert SHOWN in run("predict", "served", f"{NASTY}.png").out


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.fault), "utf-8:strict"])
def test_what_an_encoding_cannot_say_is_escaped(encoding: str, folder: Path) -> None:
    (folder / "残差.npz").write_bytes((folder / "weights.npz").read_bytes())
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    shown = []
    for line in ("weights show 残差.npz", "summary tiny.yaml"):
        command = [sys.executable, "-m", "resnetgen.cli", *line.split()]
        done = subprocess.run(command, capture_output=True, cwd=folder, env=environment)
        assert (done.returncode, done.stderr) == (0, b"")
        shown.append(done.stdout.decode(encoding.partition(":")[0]))
    if encoding.startswith("utf-8"):
        assert "残差.npz: npz" in shown[0]
        assert "───" in shown[1]
    else:
        assert r"\u6b8b\u5dee.npz: npz" in shown[0]
        assert "---" in shown[1]
        assert "\\u2500" not in shown[1]


# --debug


@pytest.mark.parametrize(
    "line", [("--debug", "summary", "no"), ("summary", "--debug", "no"), ("summary", "no", "--debug")]
)
def test_debug_may_stand_anywhere(line: tuple[str, ...], run: Run) -> None:
    result = run(*line)
    assert result.code == Exit.SPEC
    assert "Traceback" in result.err


@pytest.mark.parametrize("line", [("summary", "--", "--debug"), ("build", "tiny.yaml", "--input-name", "--debug")])
def test_debug_as_a_value_is_no_option(line: tuple[str, ...], run: Run) -> None:
    """The fixture sees a traceback that nobody asked for, were it not for the word in the line."""
    assert "Traceback" not in run(*line).err
    assert "Traceback" not in run("summary", "no").err, "nor does a run before it count"


# Memory


def test_memory_that_is_not_there_is_exit_6(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_spec(*_: object) -> None:
        np.empty((1 << 62,), np.uint8)

    monkeypatch.setattr("resnetgen.network.compile_spec", compile_spec)
    result = run("summary", "tiny.yaml")
    assert result.code == Exit.LIMIT
    assert result.err.startswith("error[limit]: there is not enough memory: Unable to allocate 4.00 EiB")
