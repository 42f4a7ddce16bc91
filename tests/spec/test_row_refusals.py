"""What is wrong in a row or in a short document: each with the whole text of its error, in tests/data/refusals/.

test_errors.py shows each error code as a user sees it; here every sentence is seen once. Refresh:
pytest tests/spec/test_row_refusals.py --update-goldens
"""

from __future__ import annotations

import pytest

from resnetgen.cli.exits import exit_code
from resnetgen.errors import Failure
from support.helpers import compile_text
from support.places import DATA

GOLDENS = DATA / "refusals"
HEAD = """\
use: std
input: 4x32x32
params: {n: 3}
blocks:
  one: {params: {width: null, k: 3}, body: "3x3, $width"}
  ends: {choose: [{if: $n == 2, then: relu}]}
  pools: {body: maxpool 2x2}
  sums: {branches: {a: relu, b: gap}, merge: add}
"""
ROWS = """\
fc 10, /2
3x3, 8, nam=2
3x3, 8, linear=1
3x3, 8, ceil
relu x2
3x3, 8, C=a
3x3, 8, bias=a
3x3, 8, bias=2x2
3x3, 8, C
3x3, 8, C=2x2
3x3, 8, d=a
3x3, 8, groups=2x2
3x3, 3x3
maxpool kernel=3
maxpool 3x3, 3x3
conv
conv 3x3
conv 3x3, 8, 9
relu 3
lrn 5
groupnorm
3x3, 8, /2, stride=2
3x3, 8, kernel=1x1
3x3, 8, p=1.5
3x3, 8.0
3x3, $n * 1.5
3x3, 8, C=3
3x3, 8, C=16
2x2, 8
0x1, 8
3x3, 0
3x3, 8, /0
3x3, 8, d=2000
3x3, 1000001
3x3, 9007199254740993
3x3, 99999999 * 999999999
3x3, 7 // ($n - 3)
leakyrelu 1
leakyrelu 0.0
batchnorm eps=1
dropout 1
groupnorm 0
groupnorm 3
fc 0
lrn size=4
lrn size=0
lrn alpha=0
lrn k=1000000
channelconv
gap | channelconv kernel=4
gap | channelconv kernel=3, channels=8
gap | channelconv channels=-1
channelpad 3
channelpad 0
blurpool /0
softmax | fc 10 | softmax | gap
maxpool 3x3, p=3, ceil
avgpool 2x2, p=1, same
maxpool 33x33
maxpool 3x3, p=3
avgpool 2x2, /2, same
flatten | 3x3, 8
fc 10 | blurpool
one()
one(8, 9, 10)
one(8, width=9)
one(8, z=1)
one(8, groups=2)
one(3x3)
one(8, /0)
one(8, /1.5)
one(8, /2) /2
ends()
ends(3)
sums()
pools() /2
(3x3, 8) x0
(3x3, 8) x2 /0
(3x3, 8) x -1
[3x3, 8, /2; 1x1, 9] /2
(relu) /2
3x3, $out
3x3, $q
norm 3
identity 3
identity
add
fc(10)
basic
nope
nope(3)
concat()
3x3
3x3, 8 |
3x3, 8, /a
[3x3, 8] /2 x3
[3x3, 8 x2]
"3x3, 8
3X3, 8
3x3, $nx3
3x3, 8 /2
56 | relu
"""


def place(row: str) -> str:
    """A spec with this one row, in the quotes of YAML."""
    quoted = row.replace("'", "''")
    return f"{HEAD}stages: {{s: '{quoted}'}}\n"


def refuse(text: str) -> str:
    """The place and text of every problem of a spec."""
    try:
        compile_text(text)
    except Failure as failure:
        lines = []
        for problem in failure.problems:
            span = problem.span
            place = span.source.text[span.start : span.end].partition("\n")[0] if span else ""
            lines.append(f"  {span}: {place}" if span else "  nowhere")
            lines.append(f"  error[{problem.code}]: {problem.message}")
            lines += [f"  note: {note}" for note in problem.notes]
            lines += [f"  hint: {problem.hint}"] if problem.hint else []
        return f"exit {exit_code(failure).value}\n" + "\n".join(lines) + "\n"
    return "network\n"


SPECS = (GOLDENS / "specs.yaml").read_text(encoding="utf-8").split("---\n")


def write_sections(name: str) -> list[str]:
    """Each row, or each spec, with what is said of it."""
    if name == "rows":
        return [f"{row}\n{refuse(place(row))}" for row in ROWS.splitlines()]
    return [f"{spec}{refuse(spec)}" for spec in SPECS]


def read_sections(name: str) -> list[str]:
    return (GOLDENS / f"{name}.txt").read_text(encoding="utf-8").split("\n\n")


@pytest.fixture
def updated(update_goldens: bool) -> None:
    if update_goldens:
        for name in ("rows", "specs"):
            sections = "\n".join(write_sections(name)).removesuffix("\n")
            (GOLDENS / f"{name}.txt").write_text(sections, encoding="utf-8", newline="\n")


@pytest.mark.parametrize(("number", "row"), list(enumerate(ROWS.splitlines())))
def test_row(number: int, row: str, updated: None) -> None:
    said = f"{row}\n{refuse(place(row))}"
    assert said.removesuffix("\n") == read_sections("rows")[number]
    assert "\n  error[" in said


@pytest.mark.parametrize("number", range(len(SPECS)))
def test_spec(number: int, updated: None) -> None:
    said = f"{SPECS[number]}{refuse(SPECS[number])}"
    assert said.removesuffix("\n") == read_sections("specs")[number]
    assert "\n  error[" in said
