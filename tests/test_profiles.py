"""Profiles of servers: the table, what it makes of a model, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from resnetgen.backends.onnxruntime import Device, Session, version
from resnetgen.errors import Failure
from resnetgen.formats.onnx.lower import MAX_OPSET, MIN_OPSET
from resnetgen.profiles import choose_opset, find_profile, profiles, who_loads
from support.helpers import Run

PAGE = Path(__file__).parents[1] / "docs/runtimes.md"
GELU = "use: std\ninput: 3x32x32\nstages:\n  s: 3x3, 8 | gelu\n"


def stamps(path: Path) -> tuple[int, int, str | None]:
    """Opset, IR version, and the runtime that the metadata names."""
    model = onnx.load(path)
    said = {entry.key: entry.value for entry in model.metadata_props}
    (opset,) = model.opset_import
    return opset.version, model.ir_version, said.get("resnetgen.runtime")


# The table


def test_every_profile_has_its_source_and_stands_in_order() -> None:
    for profile in profiles().values():
        assert profile.source
        assert MIN_OPSET <= profile.opset <= MAX_OPSET
    for family in ("ort", "triton"):
        ours = [profile for profile in profiles().values() if profile.family == family]
        release = [tuple(map(int, profile.name.partition("-")[2].split("."))) for profile in ours]
        assert release == sorted(set(release))
        assert [(p.opset, p.ir) for p in ours] == sorted((p.opset, p.ir) for p in ours)


def test_figures_from_the_field() -> None:
    """Limits that ONNX Runtime's and Triton's users were told by their servers, in issues on GitHub."""
    assert find_profile("ort-1.14").ir == 8  # microsoft/onnxruntime#15874: "max supported IR version: 8"
    assert find_profile("ort-1.17").ir == 9  # microsoft/onnxruntime#20559: "max supported IR version: 9"
    assert find_profile("triton-24.08").opset == 21


def loads(opset: int, ir: int) -> bool:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    try:
        Session(model.SerializeToString(), Device())
    except Failure:
        return False
    return True


def test_the_measured_profile_is_what_this_machine_measures() -> None:
    release = version().removeprefix("onnxruntime ").rpartition(".")[0]
    profile = profiles().get(f"ort-{release}")
    if not profile:
        pytest.skip(f"there is no profile of ONNX Runtime {release}")
    assert loads(profile.opset, profile.ir)
    assert not loads(profile.opset + 1, profile.ir)
    assert not loads(profile.opset, profile.ir + 1)


@pytest.mark.parametrize(
    ("wanted", "runtime", "chosen"),
    [(None, None, 17), (20, None, 20), (None, "ort-1.8", 14), (None, "triton-24.08", 17), (21, "triton-24.08", 21)],
)
def test_choice(wanted: int | None, runtime: str | None, chosen: int) -> None:
    assert choose_opset(wanted, find_profile(runtime) if runtime else None) == chosen


def test_who_loads() -> None:
    assert who_loads(20) == "--runtime ort-1.17 or triton-24.08"
    assert who_loads(28) == "--runtime ort-1.32"
    assert who_loads(29) == "no --runtime"


def test_the_page_shows_the_table(run: Run) -> None:
    assert f"$ resnetgen runtimes\n{run('runtimes').out}```" in PAGE.read_text(encoding="utf-8")


# Models


@pytest.mark.parametrize(
    ("runtime", "opset", "wanted"),
    [
        ("ort-1.0", None, (11, 6)),
        ("ort-1.7", None, (13, 7)),
        ("ort-1.12", None, (17, 8)),
        ("ort-1.15", "19", (19, 8)),  # opset 19 came with IR version 9, which ONNX Runtime 1.15 does not load
        ("triton-20.12", None, (12, 7)),
        ("triton-24.08", None, (17, 8)),
        ("triton-24.08", "21", (21, 10)),
        ("triton-24.08", "13", (13, 7)),
    ],
)
def test_stamps(runtime: str, opset: str | None, wanted: tuple[int, int], run: Run) -> None:
    result = run("build", "tiny.yaml", "--runtime", runtime, *(["--opset", opset] if opset else []), "--verify")
    assert result.code == 0, result.err
    path = Path("generated/tiny/tiny.onnx")
    assert stamps(path) == (*wanted, runtime)
    onnx.checker.check_model(str(path), full_check=True)


def test_without_a_runtime(run: Run) -> None:
    assert run("build", "tiny.yaml").code == 0
    assert stamps(Path("generated/tiny/tiny.onnx")) == (17, 8, None)


# Refusals


def refused(run: Run, *args: str) -> tuple[int, str]:
    result = run("build", *args)
    assert not Path("generated").exists()
    return result.code, result.err


def test_an_opset_beyond_the_runtime(run: Run) -> None:
    assert refused(run, "tiny.yaml", "--runtime", "ort-1.15", "--opset", "20") == (
        2,
        "error[bad-value]: ort-1.15 (ONNX Runtime 1.15) loads no opset above 19, not 20\n"
        "  hint: --opset 19, or --runtime ort-1.17 or triton-24.08\n",
    )


def test_an_op_beyond_the_runtime(run: Run) -> None:
    Path("gelu.yaml").write_text(GELU)
    assert refused(run, "gelu.yaml", "--runtime", "ort-1.15") == (
        3,
        "gelu.yaml:4:15: error[unsupported]: ONNX says gelu from opset 20 on, ort-1.15 loads 19 at most (s/gelu)\n"
        "    4 |   s: 3x3, 8 | gelu\n"
        "      |               ^^^^\n"
        "  hint: the oldest that can: --runtime ort-1.17 or triton-24.08 and --opset 20\n",
    )
    assert run("build", "gelu.yaml", "--runtime", "triton-24.08", "--opset", "20").code == 0


def test_an_op_that_the_runtime_could_load(run: Run) -> None:
    Path("gelu.yaml").write_text(GELU)
    code, text = refused(run, "gelu.yaml", "--runtime", "triton-24.08")
    assert (code, text.splitlines()[-1]) == (3, "  hint: --opset 20 or above")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("triton-22.12", "the next older one is triton-21.07: --runtime triton-21.07; "),
        ("triton-99.12", f"the next older one is {list(profiles())[-1]}: --runtime {list(profiles())[-1]}; "),
        ("triton-24.8", "did you mean triton-24.08"),
        ("triton-24", "did you mean triton-24."),
        ("triton-24.8.1", "did you mean triton-24."),
        ("triton-1.1", "did you mean triton-"),
        ("tritn-24.08", "did you mean triton-24.08"),
    ],
)
def test_an_unknown_runtime(name: str, hint: str, run: Run) -> None:
    """The next older one that is known loads no more than the one that is meant, so it may stand for it."""
    code, text = refused(run, "tiny.yaml", "--runtime", name)
    first, second = text.splitlines()
    assert (code, first) == (2, f"error[bad-argument]: no runtime is called {name!r}")
    assert hint in second
    assert second.endswith("`resnetgen runtimes` lists them")


def test_a_runtime_without_onnx(run: Run) -> None:
    code, text = refused(run, "tiny.yaml", "--target", "caffe", "--runtime", "ort-1.15")
    assert code == 2
    assert "add --target onnx" in text


# The list


def test_list(run: Run) -> None:
    lines = run("runtimes").out.splitlines()
    assert lines[0].split() == ["runtime", "ONNX", "Runtime", "opset", "IR", "version"]
    assert ["triton-24.08", "1.18.1", "21", "10"] in [line.split() for line in lines]
    listed = json.loads(run("runtimes", "--json").out)
    assert [entry["name"] for entry in listed] == list(profiles())
    assert all(entry["source"] for entry in listed)
