"""The command line as a user meets it: summary, list, schema, the options of every command, and the process itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

import resnetgen
from resnetgen.cli.exits import Exit
from support.helpers import Run
from support.places import ROOT, files_below

# summary, schema, help


def test_summary_is_json_too(run: Run) -> None:
    total = json.loads(run("summary", "resnet50", "--json").out)["total"]
    assert total["parameters"] == 25_557_096 == total["weights"] + total["biases"] + total["norm"]
    assert (total["macs"], total["flops"]) == (3_857_973_248, 7_715_946_496)


def test_summary_prints_the_table(run: Run) -> None:
    lines = run("summary", "resnet101").out.splitlines()
    assert lines[0] == "ResNet-101: input 3x224x224, classes=1000, 346 nodes"
    (row,) = (line for line in lines if "conv4_x" in line)
    assert "[1x1, 256; 3x3, 256; 1x1, 1024] x23 /2" in row
    assert "1024x14x14" in row


@pytest.mark.parametrize(
    ("row", "weights", "macs"),
    [
        ("[3x3, 256; 3x3, 256]", 1_179_648, 1_179_648 * 56 * 56),
        ("[1x1, 64; 3x3, 64; 1x1, 256]", 69_632, 69_632 * 56 * 56),
    ],
)
def test_summary_of_a_block(run: Run, row: str, weights: int, macs: int) -> None:
    """The paper's comparison: two 3x3 convolutions at 256 channels against the bottleneck."""
    total = json.loads(run("summary", "--block", row, "--input", "256x56x56", "--json").out)["total"]
    assert (total["weights"], total["macs"]) == (weights, macs)


def test_input_of_another_size(run: Run) -> None:
    """Every size is computed anew, and the size columns are not held against it."""
    summary = json.loads(run("summary", "tiny.yaml", "--input", "3x64x48", "--json").out)
    assert [stage["output"] for stage in summary["stages"]] == ["8x64x48", "16x32x24", "10"]
    assert (
        run("build", "tiny.yaml", "--input", "3x64x48", "--target", "onnx", "--target", "caffe", "--verify").code == 0
    )
    assert run("verify", "tiny.yaml").code == 0
    assert run("diff", "tiny.yaml", "generated/tiny/tiny.prototxt", "--input", "3x64x48").code == 0
    assert run("diff", "tiny.yaml", "generated/tiny/tiny.prototxt").code == 1
    dims = onnx.load("generated/tiny/tiny.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims[1:]] == [3, 64, 48]


def test_list(run: Run) -> None:
    (entry,) = json.loads(run("list", "resnet1?1", "--json").out)
    assert entry == {
        "name": "resnet101",
        "input": "3x224x224",
        "parameters": 44_549_160,
        "macs": 7_570_194_432,
        "targets": ["onnx", "caffe"],
    }
    names, _, plain34 = run("list", "plain34").out.splitlines()
    assert names.split() == ["spec", "input", "parameters", "GMACs", "targets"]
    assert plain34.split() == ["plain34", "3x224x224", "21,623,848", "3.644", "onnx,", "caffe"]
    nothing = run("list", "alexnet")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "no bundled spec matches 'alexnet'\n")


# Short options


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_version(option: str, run: Run) -> None:
    assert run(option) == run("--version")
    assert run(option).out == f"resnetgen {resnetgen.__version__}\n"


def test_output_dir_is_o(run: Run, tmp_path: Path) -> None:
    assert run("build", "tiny.yaml", "-o", "out").code == 0
    assert run("verify", "tiny.yaml", "-o", "out").code == 0
    assert (tmp_path / "out/tiny/tiny.onnx").is_file()


@pytest.mark.parametrize("module", ["resnetgen", "resnetgen.cli"])
def test_it_runs_as_a_module(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "-V"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"resnetgen {resnetgen.__version__}\n")
    done = subprocess.run([sys.executable, "-m", module, "summary"], capture_output=True, text=True)
    assert done.stderr.startswith(f"Usage: python -m {module} summary")


QUIET = (
    ("build tiny.yaml --verify", 0, ""),
    ("build tiny.yaml --target caffe --target onnx", 0, ""),
    ("build none", 3, "error[unknown-spec]"),
    ("deploy tiny.yaml --server onnxruntime -o served", 0, ""),
    ("verify tiny.yaml", 0, ""),
    ("verify tiny.yaml --tolerance 1e-12", 7, "error[verification]"),
    ("diff tiny.yaml generated/tiny/tiny.prototxt", 0, ""),
    ("diff tiny.yaml resnet18", 1, ""),
    ("diff tiny.yaml resnet18 --bytes", 1, ""),
    ("weights convert generated/tiny/tiny.caffemodel w.npz --spec tiny.yaml", 0, ""),
)


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet_prints_errors_alone_and_keeps_the_exit_code(option: str, run: Run, tmp_path: Path) -> None:
    for command, code, error in QUIET:
        quiet = run(*command.split(), option)
        files = files_below(tmp_path)
        loud = run(*command.split())
        assert (quiet.code, quiet.out, quiet.err) == (code, "", loud.err), command
        assert loud.code == code
        assert loud.err.startswith(error)
        assert loud.out or code not in (0, 1), "the negative control: without --quiet it is printed"
        assert files_below(tmp_path) == files, "nor do the files differ"


def test_quiet_keeps_warnings(run: Run) -> None:
    """The outputs would be 0.96 apart: torchvision's first pooling rounds down."""
    assert run("build", "resnet18", "--no-fold", "--output-dir", "first").code == 0
    result = run("build", "torchvision/resnet18", "--weights", "first/resnet18/resnet18.onnx", "-q")
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("warning: resnet18.onnx was built otherwise: ")


@pytest.mark.parametrize("command", ["verify tiny.yaml", "diff tiny.yaml resnet18"])
def test_quiet_json_is_refused(command: str, run: Run) -> None:
    result = run(*command.split(), "--quiet", "--json")
    assert (result.code, result.out) == (Exit.USAGE, "")
    assert "--quiet prints no result, and --json prints it" in result.err


# The process


def test_schema_is_json(run: Run) -> None:
    assert json.loads(run("schema").out)["properties"]["stages"]


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m resnetgen.cli schema | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, env=os.environ)
    assert (done.stdout, done.stderr) == ("{\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_cannot_be_written() -> None:
    command = f"{sys.executable} -m resnetgen.cli schema > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, env=os.environ)
    assert done.returncode == Exit.IO
    assert done.stderr.endswith("No space left on device\n")
    assert "Traceback" not in done.stderr


def test_the_end_of_the_process(tmp_path: Path) -> None:
    """It is quick, and yet what waits for it is done: output in a pipe is whole, temporary folders are gone."""
    program = (
        "import tempfile, atexit\n"
        "from resnetgen.cli.startup import end\n"
        f"folder = tempfile.TemporaryDirectory(dir={str(tmp_path)!r})\n"
        "print('x' * 100_000)\n"
        "end(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, len(done.stdout), done.stderr) == (3, 100_001, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("build resnet20_cifar", "1"),
        ("build resnet20_cifar --verify", "None"),
        ("deploy resnet20_cifar --server onnxruntime -o served", "1"),
    ],
)
def test_blas_has_threads_only_where_matrices_are_multiplied(tmp_path: Path, arguments: str, wanted: str) -> None:
    """It reads the variable when numpy is imported: afterwards nothing would come of it."""
    program = f"""
import os, sys
os.environ.pop("OPENBLAS_NUM_THREADS", None)
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            print("threads", os.environ.get("OPENBLAS_NUM_THREADS"))
sys.meta_path.insert(0, Watch())
from resnetgen.cli import main
main({arguments.split()!r})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.findall("threads (.*)", done.stdout) == [wanted]


def test_a_missing_prototxt_is_no_spec(run: Run) -> None:
    done = run("diff", "resnet18", "folder/net.prototxt")
    assert (done.code, done.err) == (5, "error[missing-file]: no such file: folder/net.prototxt\n")
