"""Every error of a spec: `<code>[-<variant>].yaml` in tests/errors/ beside the text that its user reads.

`pytest tests/spec/test_errors.py --update-goldens` writes the texts anew; read the diff as that user.
"""

from __future__ import annotations

import random
import re
import string
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml.reader import Reader

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure, Problem, Source, Span
from resnetgen.expand import expand
from resnetgen.formats.caffe.write import plan
from resnetgen.ir.graph import Graph
from resnetgen.paths import LIBRARY, SPECS
from resnetgen.spec.find import short_path
from resnetgen.spec.load import load_file
from resnetgen.spec.yaml import MAX_BYTES
from resnetgen.weights.names import load_name_map
from support.places import TESTS

ERRORS = TESTS / "errors"
CASES = sorted(path.stem for path in ERRORS.glob("*.yaml") if not path.stem.startswith("_"))

ELSEWHERE = {
    Code.MISSING_FILE,
    Code.OUTPUT,
    Code.JSON_SYNTAX,
    Code.PROTOTXT_SYNTAX,
    Code.BAD_MODEL,
    Code.WEIGHTS,
    Code.PRECISION,
    Code.BAD_IMAGE,
    Code.LABELS,
    Code.VERIFICATION,
    Code.PROVIDER,
    Code.BUG,
}
"""Codes that no spec causes; other tests have them."""


def compile_for_caffe(path: Path) -> Graph:
    """The first lines of a spec may be `# --set name=value`."""
    head = path.read_bytes()[:200].decode("utf-8", "replace")
    settings = {name: float(value) for name, value in re.findall(r"^# --set (\w+)=(\S+)$", head, re.MULTILINE)}
    spec = load_file(path, settings, shown=path.name)
    graph = expand(spec)
    plan(graph, load_name_map(spec.names.text, spec.names.span) if spec.names else None, None, with_weights=True)
    return graph


def report(path: Path) -> str:
    """What the command line does with a spec, the folders of the package left out."""
    try:
        compile_for_caffe(path)
    except Failure as failure:
        text = f"exit {exit_code(failure).value}\n{failure}\n"
        return text.replace(f"{short_path(LIBRARY)}/", "").replace(f"{short_path(SPECS)}/", "")
    return "network\n"


@pytest.mark.parametrize("case", CASES)
def test_error(case: str, update_goldens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ERRORS)
    golden = ERRORS / f"{case}.txt"
    text = report(ERRORS / f"{case}.yaml")
    if update_goldens:
        golden.write_text(text, encoding="utf-8", newline="\n")
    assert text == golden.read_text(encoding="utf-8")
    assert f"error[{_code(case)}]" in text


def _code(case: str) -> str:
    return max((code for code in Code if f"{case}-".startswith(f"{code}-")), key=len)


def test_every_code_has_a_pair() -> None:
    assert {_code(case) for case in CASES} == set(Code) - ELSEWHERE
    assert {path.stem for path in ERRORS.glob("*.txt")} == set(CASES)


# What no golden can hold


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text("#" * MAX_BYTES + "\n", encoding="utf-8")
    message = f"net.yaml is larger than {MAX_BYTES:,} bytes, the limit for a spec"
    assert report(path) == f"exit 6\nerror[limit]: {message}\n"


def test_only_the_first_problems_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    rows = "".join(f"  conv{number}: foo\n" for number in range(1000))
    path.write_text(f"use: std\ninput: 3x32x32\nstages:\n{rows}", encoding="utf-8")
    text = report(path)
    assert text.count("error[unknown-op]") == 50
    assert text.endswith("\n... and 950 more\n")


@pytest.mark.parametrize(
    ("line", "start", "end", "expected"),
    [
        pytest.param("a: b", 3, 4, "    1 | a: b\n      |    ^", id="plain"),
        pytest.param("a: \x1b[31mb", 3, 8, "    1 | a: \\x1b[31mb\n      |    ^^^^^^^^", id="control characters"),
        pytest.param("\ta: b", 1, 2, "    1 |  a: b\n      |  ^", id="tab"),
        pytest.param("a: b", 3, 99, "    1 | a: b\n      |    ^", id="ends beyond the line"),
        pytest.param("x" * 200, 150, 152, f"    1 | {'x' * 100}\n      | {' ' * 60}^^", id="long line"),
        pytest.param("", 0, 1, "", id="empty source"),
    ],
)
def test_excerpt(line: str, start: int, end: int, expected: str) -> None:
    problem = Problem(Code.ROW_SYNTAX, "wrong", Span(Source("net.yaml", line), start, end))
    assert problem.render() == "\n".join(filter(None, [f"net.yaml:1:{start + 1}: error[row-syntax]: wrong", expected]))


# Hostile and unlucky input

BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12))


HOSTILE = {
    "merge keys": (BOMB, Code.YAML_FEATURE),
    "lists": ("a: " + "[" * 250_000, Code.LIMIT),
    "mappings": ("a: " + "{a: " * 60_000, Code.LIMIT),
    "indentation": ("\n".join(" " * n + "a:" for n in range(700)), Code.LIMIT),
    "sequences": ("- " * 130_000, Code.LIMIT),
    "keys": ("? " * 130_000, Code.LIMIT),
    "bytes": ("a: " + "[" * 500_000, Code.LIMIT),
}


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The places in the text that the parser marks as it reads: at each token."""
    found = [0]
    real = Reader.get_mark

    def get_mark(reader: Reader) -> Any:
        mark = real(reader)
        found.append(mark.index)
        return mark

    monkeypatch.setattr(Reader, "get_mark", get_mark)
    return found


def refused(text: str, path: Path) -> list[Code]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Failure) as caught:
        load_file(path)
    return [problem.code for problem in caught.value.problems]


@pytest.mark.parametrize("name", HOSTILE)
def test_refused_at_once(name: str, marks: list[int], tmp_path: Path) -> None:
    """Long before the end of the text."""
    text, code = HOSTILE[name]
    assert refused(text, tmp_path / "net.yaml") == [code]
    assert max(marks) < 4000


def test_a_text_that_is_refused_late_is_read_that_far(marks: list[int], tmp_path: Path) -> None:
    """Negative control of the test above: too many values, which must be counted first."""
    assert refused(f"a: [{'1,' * 30_000}]", tmp_path / "net.yaml") == [Code.LIMIT]
    assert max(marks) > 40_000


_RICH = """\
use: std
input: 3x32x32
params: {n: 2}
defaults: {bracket: {stride_on: 3x3, shortcut: "avgpool 2x2, /$stride | 1x1, $out, linear"}}
blocks:
  gated: {params: {k: null}, let: {w: $in // $k}, branches: {x: identity, g: "gap | 1x1, $in"}, merge: mul}
  pick: {choose: [{if: $index == 0, then: relu}, {then: gated($n)}]}
stages:
  conv1: 32x32 | 3x3, 16
  conv2_x: "[1x1, 8; 3x3, 8, C=2; 1x1, 32; gated(k=4)] x $n /2 | pick() x2"
  conv3_x: {pre: [relu], block: "bottleneck(4, groups=2)", repeat: 2, stride: 2}
  head: gap | fc 10 if $in > 3 else 5 | softmax
"""
_TOKENS = (
    *string.punctuation,
    *("\n", "\n  ", "\t", "\0", "é", "×", " | ", ": ", "- ", "&a ", "*a", "<<", "!!", "---\n", "x3", "/2", "/0"),
    *("0", "-1", "1.5", "1e400", "9" * 20, "1000000", "true", "null", "~", "$in", "$out", "$stride", "$index", "$n"),
    *("3x3", "[", "]", "basic(64)", "se()", "shortcut.B()", "loop()", "gap", "fc", "relu", "flatten", "conv", "bare"),
    *("C=", "d=", "p=", "bias", "if", "else", "and", "add", "mul", "concat", "identity", "norm", "act", "first"),
    *("stages", "blocks", "params", "use: std\n", "extends: resnet18\n", "extends: net.yaml\n", "x.yaml"),
)


def _mutated(text: str, draw: random.Random) -> str:
    for _ in range(draw.randint(1, 3)):
        words = [match.span() for match in re.finditer(r"[\w.]+|\S", text)] or [(0, 0)]
        start, end = draw.choice(words)
        other = draw.choice(words)
        new = draw.choice((draw.choice(_TOKENS), text[slice(*other)], "", text[start:end] + draw.choice(_TOKENS)))
        text = text[:start] + new + text[end:]
    return text


def _outcome(path: Path, text: str) -> tuple[Exit, set[Code]]:
    try:
        expand(load_file(path))
    except Failure as failure:
        str(failure)
        return exit_code(failure), {problem.code for problem in failure.problems}
    except Exception as error:
        raise AssertionError(text) from error
    return Exit.DONE, set()


@pytest.mark.parametrize("count", [100, pytest.param(600, marks=pytest.mark.fuzz)])
def test_mutated_specs_fail_as_errors_or_not_at_all(count: int, tmp_path: Path) -> None:
    """Whatever stands in a spec, nothing but a Failure is raised."""
    draw = random.Random(20150512)
    seeds = [_RICH, *(path.read_text(encoding="utf-8") for path in sorted(SPECS.rglob("*.yaml")))]
    path = tmp_path / "net.yaml"
    for _ in range(count):
        path.write_text(text := _mutated(draw.choice(seeds), draw), encoding="utf-8")
        exit, codes = _outcome(path, text)
        assert exit in (Exit.DONE, Exit.SPEC, Exit.LIMIT, Exit.IO), text
        assert codes.isdisjoint(ELSEWHERE - {Code.MISSING_FILE}), text
