"""The harness of the benchmarks: made-up costs through all of it. What is timed has the mark `measured`."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import measure, processor
from benchmarks.figure import Figure, Skipped, compare, times
from benchmarks.measure import PEERS, Bench, Cost, apart, in_turn, lacking, process
from benchmarks.report import INTRODUCTION, Section, markdown, section_markdown, verdict
from benchmarks.suite import SUITE, measured
from resnetgen.build.options import Options
from resnetgen.build.run import build

WITHIN = Figure("build", "a script", 0.5, 1.0, "s", ratio=0.5, low=0.45, high=0.55, limit=0.6)
BEYOND = replace(WITHIN, peer="an exporter", limit=0.4)
FREE = replace(WITHIN, what="verify", ratio=1.5, low=1.4, high=1.6, limit=None)
LACKED = Skipped("another exporter", "/usr/bin/python has no torch")


def section(*results: Figure | Skipped) -> Section:
    return Section("Made up\n\nOf no machine.\n", results)


def test_the_ratio_is_the_median_of_the_rounds() -> None:
    """The machine was slow in the last two rounds: the medians of the costs alone, 3 and 4, would say 3/4."""
    figure = compare("a", "b", "s", [(1, 2), (3, 6), (1, 2), (30, 4), (30, 60)])
    assert (figure.mine, figure.theirs, figure.ratio) == (3, 4, 0.5)
    assert (figure.low, figure.high) == (0.5, 0.5)


def test_half_of_the_rounds_lie_between_low_and_high() -> None:
    figure = compare("a", "b", "s", [(ratio, 1) for ratio in (5, 1, 4, 2, 3)])
    assert (figure.low, figure.ratio, figure.high) == (2, 3, 4)
    once = compare("a", "b", "s", [(3, 2)])
    assert (once.low, once.ratio, once.high) == (1.5, 1.5, 1.5)


@pytest.mark.parametrize(("limit", "held"), [(None, True), (0.51, True), (0.5, True), (0.49, False)])
def test_a_limit_is_held_up_to_itself(limit: float | None, held: bool) -> None:
    assert compare("a", "b", "s", [(1, 2)], limit).held is held


@pytest.mark.parametrize(
    ("ratio", "limit", "held"),
    [(1, 1, True), (1.0049, 1, False), (1.006, 1, False), (0.09999, 0.1, True), (0.10004, 0.1, False)],
)
def test_a_limit_is_held_by_the_ratio_before_it_is_rounded(ratio: float, limit: float, held: bool) -> None:
    assert compare("a", "b", "s", [(ratio, 1)], limit).held is held


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.1, "1/10"), (1 / 1.7, "1/1.7"), (0.7, "0.70"), (1.0, "1.00"), (4.9, "4.90")]
)
def test_a_ratio_is_written_for_a_reader(ratio: float, text: str) -> None:
    assert times(ratio) == text


def test_a_ratio_that_misses_its_limit_does_not_look_like_it() -> None:
    for ratio, limit, text in ((1.0049, 1.0, "1.005"), (1.00004, 1.0, "1.00004"), (0.10004, 0.1, "1/9.996")):
        said = times(ratio, limit)
        assert said != times(limit)
        assert said.startswith(text)
        (row,) = section_markdown(section(replace(WITHIN, ratio=ratio, limit=limit))).splitlines()[-1:]
        assert f"**{said}, beyond its limit**" in row


def test_the_page_has_the_words_of_the_suite() -> None:
    """It says what is measured: also what the program does about the collector, its end and BLAS."""
    page = (Path(__file__).parents[1] / "docs/benchmarks.md").read_text(encoding="utf-8")
    for text in (
        *INTRODUCTION,
        *(
            section_markdown(Section(sys.modules[f"benchmarks.suite.{name}"].__doc__ or "", []))
            for name in SUITE
            if import_module(f"benchmarks.suite.{name}")
        ),
    ):
        assert text in page
    for word in ("garbage collector", "os._exit", "BLAS", "65,536 values"):
        assert word in page


def test_runners_run_in_turn_and_the_first_of_each_is_not_counted() -> None:
    ran: list[str] = []

    def runner(name: str) -> str:
        ran.append(name)
        return f"{name}{ran.count(name)}"

    rounds = in_turn([lambda: runner("a"), lambda: runner("b"), lambda: runner("c")], 3)
    assert "".join(ran) == "abcabcbcacab"
    assert rounds == [("a2", "b2", "c2"), ("a3", "b3", "c3"), ("a4", "b4", "c4")]


def alone(code: str) -> Cost:
    """Of a program in Python. Two processes away, for we are large, and what a large one starts counts as large."""
    return apart(apart, process, [sys.executable, "-c", code])


def test_a_cost_is_what_the_kernel_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With figures of a made-up kernel, whose clock says 10 s and then 12.5."""
    usage = resource.struct_rusage((1.25, 0.5, 3 << (30 if sys.platform == "darwin" else 20), *[0] * 13))
    wait, clock = os.wait4, iter((10.0, 12.5))
    monkeypatch.setattr(os, "wait4", lambda pid, options: (*wait(pid, options)[:2], usage))
    monkeypatch.setattr(measure, "peak", lambda: 1.0)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    assert process([sys.executable, "-c", "pass"]) == Cost(seconds=2.5, peak=3 * 1024, processor=1.75)
    monkeypatch.setattr(measure, "peak", lambda: 100.0)
    with pytest.raises(AssertionError, match="must be small itself"):
        process([sys.executable, "-c", "pass"])


@pytest.mark.measured
def test_a_process_is_measured_alone() -> None:
    """Its peak holds what it took, and nothing of ours."""
    small, large = (alone(f"import time; b'x' * ({size} << 20); time.sleep(0.2)") for size in (1, 96))
    assert small.seconds > 0.2
    assert small.peak < 64
    assert 96 < large.peak < 96 + small.peak


@pytest.mark.measured
def test_compile_time_of_a_node_does_not_grow_with_their_number() -> None:
    """At 20,000 nodes and at 1,000; a step that looks at all nodes for each would show as 20, also one in C.

    `python -m benchmarks compile_time` has the stricter limit.
    """
    section = apart(measured, "compile_time", Bench(runs=3), large=950)
    assert [figure.ratio < 4 for figure in section.figures] == [True, True]


def test_a_process_that_fails_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match=r"failed with 3: no such weights"):
        alone("import sys; print('no such weights', file=sys.stderr); sys.exit(3)")


def test_a_peer_is_looked_for_in_its_own_python() -> None:
    assert lacking("a peer", sys.executable, "sys", "numpy") is None
    missing = lacking("a peer", sys.executable, "numpy", "no_such_library")
    assert missing == Skipped("a peer", f"{sys.executable} has no no_such_library")


def test_a_figure_beyond_its_limit_is_marked() -> None:
    rows = section_markdown(section(WITHIN, BEYOND)).splitlines()[-2:]
    assert rows == [
        "| build | a script | 0.5 s | 1 s | 1/2 | 1/2.22 – 1/1.82 | 1/1.67 |",
        "| build | an exporter | 0.5 s | 1 s | **1/2, beyond its limit** | 1/2.22 – 1/1.82 | 1/2.5 |",
    ]
    said = "Of 2 limits 1 are held. **Beyond its limit**: build against an exporter."
    assert verdict([section(WITHIN, FREE), section(BEYOND)]) == said
    assert verdict([section(WITHIN, FREE)]) == "Of 1 limits 1 are held."


def test_a_peer_that_is_skipped_is_named() -> None:
    text = section_markdown(section(LACKED, FREE))
    assert text.endswith("\n\nSkipped: another exporter (/usr/bin/python has no torch).")
    assert section_markdown(section(LACKED)).splitlines()[-1].startswith("Skipped: another exporter")
    assert "Skipped" not in section_markdown(section(FREE))


def test_the_report_has_every_benchmark_under_its_words() -> None:
    text = markdown([section(WITHIN), section(FREE, LACKED)], "a machine")
    assert text.count("## Made up\n\nOf no machine.\n\n|") == 2
    assert "\n\na machine\n\nOf 1 limits 1 are held.\n\n" in text


@pytest.mark.matplotlib
def test_the_picture_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    from benchmarks.chart import draw

    pictures = []
    for name, sections in (
        ("a", [section(WITHIN, FREE)]),
        ("b", [section(WITHIN, FREE)]),
        ("c", [section(BEYOND, FREE)]),
    ):
        draw(sections, path := tmp_path / f"{name}.png")
        pictures.append(path.read_bytes())
    assert pictures[0].startswith(b"\x89PNG")
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize(("figure", "code"), [(WITHIN, 0), (BEYOND, 1)])
def test_the_command_runs_what_is_named(
    figure: Figure, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def measured(*what: object) -> Section:
        asked.append(what[1:])
        return section(figure)

    monkeypatch.setattr(command, "apart", measured)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "start", "embed", "--runs", "3", "--peer-python", "p"])
    assert command.main() == code
    assert asked == [("start", Bench("p", 3)), ("embed", Bench("p", 3))]
    assert capsys.readouterr().out.count("## Made up") == 2


@pytest.mark.matplotlib
def test_the_command_writes_the_whole_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(command, "apart", lambda *_: section(FREE))
    monkeypatch.setattr(command, "DOCS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--write"])
    assert command.main() == 0
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8").count("## Made up") == len(SUITE)
    assert (tmp_path / "benchmarks.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"), [(["nothing"], "no such benchmark: nothing"), (["start", "--write"], "name no benchmark")]
)
def test_the_command_refuses(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert message in capsys.readouterr().err


def test_every_benchmark_of_the_suite_is_listed() -> None:
    files = Path(command.__file__).with_name("suite").glob("[a-z]*.py")
    assert sorted(path.stem for path in files) == sorted(SUITE)


def test_the_script_by_hand_makes_what_we_make(tmp_path: Path) -> None:
    """Else it would be no peer: node by node, and the shape of each weight. Another ResNet-50 differs, as it must."""
    subprocess.run([sys.executable, str(PEERS / "onnx_helper.py")], cwd=tmp_path, check=True)
    by_hand = summary(tmp_path / "resnet50.onnx")
    built = build(["resnet50", "resnet50_v1_5"], Options(output_dir=tmp_path))
    ours, another = (summary(next(path for path in one.files if path.suffix == ".onnx")) for one in built)
    assert by_hand == ours
    assert by_hand != another


def summary(path: Path) -> object:
    """The nodes with what they say beyond the defaults, the weights' shapes, and the versions."""
    import onnx
    from onnx import helper

    model = onnx.load(path)
    defaults = {"dilations": [1, 1], "group": 1, "count_include_pad": 0, "pads": [0, 0, 0, 0], "strides": [1, 1]}
    nodes = []
    for node in model.graph.node:
        said = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        said = {name: value for name, value in said.items() if defaults.get(name) != value}
        nodes.append((node.name, node.op_type, list(node.input), list(node.output), said))
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    return sorted(nodes), shapes, model.opset_import[0].version, model.ir_version


@pytest.mark.parametrize(
    ("lines", "name", "flags", "vnni"),
    [
        (
            "model name\t: EPYC 7763\nflags\t\t: fpu avx avx2 sha_ni\n\nmodel name\t: other\n",
            "EPYC 7763",
            ["avx", "avx2", "sha_ni"],
            False,
        ),
        ("flags\t: avx2 avx512f avx512_vnni\nmodel name\t: Xeon\n", "Xeon", ["avx2", "avx512f", "avx512_vnni"], True),
        ("Features\t: fp asimd asimddp\n", None, ["asimd", "asimddp"], True),
    ],
)
def test_the_flags_of_a_processor(
    lines: str, name: str | None, flags: list[str], vnni: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(lines)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert (processor.flags(), processor.has_vnni()) == (flags, vnni)
    assert name in (None, processor.name())
