"""The page docs/spec-language.md: its examples compile, nothing is missing, and it says the truth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure, Source, Span
from resnetgen.expand import expand
from resnetgen.expand.check import PLACEHOLDERS, UNIT_FLAGS
from resnetgen.ir.graph import Graph
from resnetgen.ir.ops import VOCABULARY, BatchNorm, Conv, attributes
from resnetgen.paths import LIBRARY, SPECS
from resnetgen.spec import json_schema
from resnetgen.spec.find import short_path
from resnetgen.spec.load import load_file
from resnetgen.spec.table import Row, Spec
from resnetgen.spec.yaml import parse
from support.places import ROOT

PAGE = (ROOT / "docs" / "spec-language.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FRAGMENTS = re.findall(r"^```yaml fragment\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def load_texts(folder: Path, *texts: str, **settings: int | float) -> Spec:
    """The spec net.yaml, which is the last text; the others are a.yaml, b.yaml ..."""
    for name, text in zip("abcdef", texts[:-1], strict=False):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    path = folder / "net.yaml"
    path.write_text(texts[-1], encoding="utf-8")
    return load_file(path, settings, shown="net.yaml")


def compile_text(folder: Path, text: str) -> Graph:
    return expand(load_texts(folder, text))


# The page


@pytest.mark.parametrize("text", [pytest.param(text, id=str(number)) for number, text in enumerate(EXAMPLES)])
def test_example(text: str, tmp_path: Path) -> None:
    compile_text(tmp_path, text)


@pytest.mark.parametrize("text", FRAGMENTS)
def test_fragment(text: str) -> None:
    parse(Source("fragment", text))


def test_every_fence_is_tested() -> None:
    assert len(re.findall(r"^```\w", PAGE, re.MULTILINE)) == len(EXAMPLES) + len(FRAGMENTS)
    assert len(EXAMPLES) > 20


def _schema_keys(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        for item in part:
            yield from _schema_keys(item)
    if isinstance(part, dict):
        yield from part.get("properties", {})
        for key, value in part.items():
            yield from _schema_keys(value if key != "properties" else list(value.values()))


def _library_blocks() -> set[str]:
    return {
        key.text
        for path in LIBRARY.glob("*.yaml")
        for key, _ in parse(Source(path.name, path.read_text(encoding="utf-8"))).get("blocks") or ()  # type: ignore[union-attr]
    }


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("ops", set(VOCABULARY)),
        ("placeholders", PLACEHOLDERS),
        ("flags", UNIT_FLAGS),
        ("blocks", _library_blocks()),
        ("keys", set(_schema_keys(json_schema.SPEC)) | set(_schema_keys(json_schema.LIBRARY))),
        ("names", {f"${name}" for name in json_schema.IMPLICIT}),
        ("files", {path.stem for path in LIBRARY.glob("*.yaml")}),
        ("name maps", {path.stem for path in (LIBRARY / "names").glob("*.yaml")}),
    ],
)
def test_nothing_is_missing(what: str, words: set[str]) -> None:
    in_code = set(re.findall(r"`([^`\n]+)`", PAGE))
    assert sorted(words - in_code) == []


@pytest.mark.parametrize("keyword", sorted(VOCABULARY))
def test_every_attribute_is_in_the_table(keyword: str) -> None:
    (written,) = re.findall(rf"^\| `{keyword}` \| (`.*?) \|", PAGE, re.MULTILINE)
    needed = {"kernel": "3x3", "out_channels": "64", "units": "1000", "image": "3x224x224"}
    needed |= {"slope": "0.1", "ratio": "0.5", "groups": "32"}
    op = VOCABULARY[keyword]
    for attribute in attributes(op):
        by_name = op.short.get(attribute.name, attribute.name)
        assert (needed.get(attribute.name, by_name) if attribute.required else by_name) in written


# The JSON Schema


def as_json(text: str) -> Any:
    """Plain values, as an editor reads them."""
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


def test_json_schema_is_valid() -> None:
    Draft202012Validator.check_schema(json_schema.json_schema())
    json.dumps(json_schema.json_schema())


@pytest.mark.parametrize(
    "text",
    [
        *(pytest.param(path.read_text(encoding="utf-8"), id=path.stem) for path in sorted(SPECS.rglob("*.yaml"))),
        *(pytest.param(text, id=f"example {number}") for number, text in enumerate(EXAMPLES)),
    ],
)
def test_json_schema_accepts(text: str) -> None:
    assert list(Draft202012Validator(json_schema.json_schema()).iter_errors(as_json(text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "stage: {}",
        "input: [3, 32, 32]",
        "name: 'a\"b'",
        "params: {n: x}",
        "params: {in: 3}",
        "params: {a.b: 3}",
        "stages: {a b: gap}",
        "stages: {a: [gap]}",
        "stages: {a: {repeats: 3}}",
        "defaults: {unit: [conv, bn]}",
        "defaults: {bracket: {merge: sum}}",
        "blocks: {b: {body: 3}}",
        "blocks: {b: {choose: [{if: 1}]}}",
        "blocks: {b: {let: {out: 3}}}",
    ],
)
def test_json_schema_refuses_what_the_loader_refuses(text: str, tmp_path: Path) -> None:
    assert not Draft202012Validator(json_schema.json_schema()).is_valid(as_json(text))
    with pytest.raises(Failure) as caught:
        load_texts(tmp_path, f"{text}\n")
    assert exit_code(caught.value) is Exit.SPEC


# Merging

PARENT = """\
name: parent
use: std
input: 3x32x32
params: {n: 2, m: 3}
defaults: {act: sigmoid, bracket: {stride_on: 3x3}}
blocks: {one: {body: relu}, two: {body: gap}}
stages:
  a: 16x16 | 7x7, 64, /2
  b: 16x16 | relu | basic(64) x2 /1 | gap
  c: gap
"""


def _text(span: Span) -> str:
    return span.source.text[span.start : span.end]


def _row(row: Row) -> str:
    pre, post = (" | ".join(_text(cell.span) for cell in cells) for cells in (row.pre, row.post))
    block = ""
    if row.block:
        repeat, stride = (_text(part.span) if part else "-" for part in (row.block.repeat, row.block.stride))
        block = f"{_text(row.block.body.span)} x{repeat} /{stride}"
    return f"{row.stage}: {row.size or '-'}: {pre} [{block}] {post}".replace("  ", " ").strip()


A, B, C = "a: 16x16: 7x7, 64, /2 []", "b: 16x16: relu [basic(64) x2 /1] gap", "c: -: gap []"


@pytest.mark.parametrize(
    ("patch", "rows"),
    [
        pytest.param("{}", [A, B, C], id="nothing"),
        pytest.param("{b: null}", [A, C], id="left out"),
        pytest.param("{b: ~, a: null}", [C], id="two left out"),
        pytest.param("{d: relu}", [A, B, C, "d: -: relu []"], id="added last"),
        pytest.param("{a: '3x3, 8'}", ["a: 16x16: 3x3, 8 []", B, C], id="cells replaced, size kept"),
        pytest.param("{a: 8x8 | gap}", ["a: 8x8: gap []", B, C], id="size replaced"),
        pytest.param("{b: basic(8)}", [A, "b: 16x16: [basic(8) x- /-]", C], id="nothing kept of a replaced row"),
        pytest.param("{b: {repeat: 5}}", [A, "b: 16x16: relu [basic(64) x5 /1] gap", C], id="repeat"),
        pytest.param("{b: {repeat: $n + 1}}", [A, "b: 16x16: relu [basic(64) x$n + 1 /1] gap", C], id="expression"),
        pytest.param("{b: {stride: 2, size: 8x8}}", [A, "b: 8x8: relu [basic(64) x2 /2] gap", C], id="stride, size"),
        pytest.param("{b: {pre: [], post: []}}", [A, "b: 16x16: [basic(64) x2 /1]", C], id="emptied"),
        pytest.param(
            "{b: {pre: gap | act, post: [norm, act]}}",
            [A, "b: 16x16: gap | act [basic(64) x2 /1] norm | act", C],
            id="text and list",
        ),
        pytest.param("{b: {block: se()}}", [A, "b: 16x16: relu [se() x2 /1] gap", C], id="block, its repetition kept"),
        pytest.param("{b: {block: se() x3}}", [A, "b: 16x16: relu [se() x3 /1] gap", C], id="block with a repetition"),
        pytest.param("{a: {block: se()}}", ["a: 16x16: 7x7, 64, /2 [se() x- /-]", B, C], id="block added"),
        pytest.param("{e: {pre: relu}}", [A, B, C, "e: -: relu []"], id="row of fields"),
    ],
)
def test_patch(patch: str, rows: list[str], tmp_path: Path) -> None:
    spec = load_texts(tmp_path, PARENT, f"extends: a\nstages: {patch}\n")
    assert [_row(row) for row in spec.rows] == rows


def test_extends_merges_key_by_key(tmp_path: Path) -> None:
    child = (
        "extends: a\ninput: 3x64x64\nparams: {m: 5}\ndefaults: {bracket: {after: null}}\nblocks: {two: {body: act}}\n"
    )
    spec = load_texts(tmp_path, PARENT, child)
    assert (spec.name, spec.title, str(spec.input)) == ("net", "parent", "3x64x64")
    assert spec.params == {"n": 2, "m": 5}
    assert _text(spec.defaults.act[0].span) == "sigmoid"
    assert str(spec.defaults.bracket.stride_on) != "first"
    assert spec.defaults.bracket.after == ()
    assert [block.span.source.name for name, block in spec.blocks.items() if name in ("one", "two")][1] == "net.yaml"
    assert [source.name.rpartition("/")[2] for source in spec.sources] == ["std.yaml", "a.yaml", "net.yaml"]


def test_chain_of_three(tmp_path: Path) -> None:
    spec = load_texts(tmp_path, PARENT, "extends: a\nparams: {n: 7}\n", "extends: b\nstages: {b: {repeat: $n}}\n")
    assert spec.params == {"n": 7, "m": 3}
    assert _row(spec.rows[1]) == "b: 16x16: relu [basic(64) x$n /1] gap"


def test_library_of_ones_own(tmp_path: Path) -> None:
    library = "defaults: {act: sigmoid}\nblocks: {se: {body: identity}, mine: {body: act}}\n"
    spec = load_texts(tmp_path, library, "use: [std, a.yaml]\ninput: 3x8x8\nstages: {s: mine() | se()}\n")
    assert [(node.name, node.op.keyword) for node in expand(spec).nodes] == [("data", "input"), ("s/0/act", "sigmoid")]


def test_a_spec_may_extend_the_bundled_one_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.yaml"
    path.write_text("extends: resnet18\nname: mine\n", encoding="utf-8")
    assert load_file(path).title == "mine"


@pytest.mark.parametrize(
    ("path", "name"),
    [("net.yaml", "net"), ("specs/net.yaml", "net"), ("specs/a/net.v1-b.yaml", "a/net.v1-b"), ("a/net.yml", "net")],
)
def test_name(path: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("use: std\ninput: 3x8x8\nstages: {s: gap}\n", encoding="utf-8")
    assert load_file(file).name == name
    assert load_file(file).title == name


@pytest.mark.parametrize("name", ["n et.yaml", "né.yaml", "a..b.yaml", "-.yaml"])
def test_no_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text("use: std\ninput: 3x8x8\nstages: {s: gap}\n", encoding="utf-8")
    with pytest.raises(Failure) as caught:
        load_file(file)
    assert [problem.code for problem in caught.value.problems] == [Code.BAD_NAME]


@pytest.mark.parametrize("key", ["extends", "use"])
def test_a_missing_file_is_shown_where_it_is_named(key: str, tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        load_texts(tmp_path, f"input: 3x8x8\n{key}: gone.yaml\nstages: {{s: gap}}\n")
    (problem,) = caught.value.problems
    assert exit_code(caught.value) is Exit.IO
    message = f"no such file: {short_path(tmp_path / 'gone.yaml')}"
    assert (problem.code, problem.message) == (Code.MISSING_FILE, message)
    assert problem.span is not None
    assert (str(problem.span), _text(problem.span)) == ("net.yaml:2", "gone.yaml")


def test_settings(tmp_path: Path) -> None:
    text = "use: std\ninput: 3x8x8\nparams: {n: 2, eps: 0.1}\nstages: {s: 'fc $n | batchnorm eps=$eps'}\n"
    nodes = expand(load_texts(tmp_path, text, n=5, eps=0.5)).nodes
    assert nodes[1].op == VOCABULARY["fc"](units=5)  # type: ignore[call-arg]
    assert nodes[2].op == BatchNorm(0.5)


# Strides, names, paths


def convolutions(graph: Graph) -> list[str]:
    """`place channels/stride` of each convolution."""
    return [f"{n.name} {n.op.out_channels}/{n.op.stride[0]}" for n in graph.nodes if isinstance(n.op, Conv)]


HEAD = "use: std\ninput: 4x32x32\nparams: {n: 3}\n"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("(3x3, 8) x2 /2", ["s/0/conv1 8/2", "s/1/conv1 8/1"]),
        ("(3x3, 8; 3x3, 9) /2", ["s/0/conv1 8/2", "s/0/conv2 9/1"]),
        ("(3x3, 8; 3x3, 9, /$stride) x2 /2", ["s/0/conv1 8/1", "s/0/conv2 9/2", "s/1/conv1 8/1", "s/1/conv2 9/1"]),
        ("(relu; 3x3, 8) /2", ["s/0/conv1 8/2"]),
        ("((3x3, 8); 3x3, 9) /2", ["s/0/conv1 8/2", "s/0/conv2 9/1"]),
        ("(one(8); 3x3, 9) /2", ["s/0/one/conv1 8/2", "s/0/conv1 9/1"]),
        ("(one(8)) /2", ["s/0/conv1 8/2"]),
        ("one(8) x2 /2", ["s/0/conv1 8/2", "s/1/conv1 8/1"]),
        ("one(8, /2) x2", ["s/0/conv1 8/2", "s/1/conv1 8/2"]),
        ("one(8, /$stride) x2 /2", ["s/0/conv1 8/2", "s/1/conv1 8/1"]),
        ("two(8) /2", ["s/0/conv1 8/2", "s/0/conv2 8/1"]),
        ("second(8) x2 /2", ["s/0/conv1 8/1", "s/0/conv2 8/2", "s/1/conv1 8/1", "s/1/conv2 8/1"]),
        ("pooled(8) /2", ["s/0/conv1 8/1"]),
        ("twice(8) /2", ["s/0/0/conv1 8/2", "s/0/1/conv1 8/1", "s/0/2/conv1 8/1", "s/0/3/conv1 8/1"]),
        ("both(8) /2", ["s/0/a/conv1 8/2", "s/0/b/conv1 8/2", "s/0/b/conv2 8/1"]),
        ("[3x3, 8; 1x1, 9] /2", ["s/0/main/conv1 8/2", "s/0/main/conv2 9/1", "s/0/shortcut/conv1 9/2"]),
        ("[3x3, 8; 1x1, 9, /$stride] /2", ["s/0/main/conv1 8/1", "s/0/main/conv2 9/2", "s/0/shortcut/conv1 9/2"]),
        ("[one(8); one(8)] /2", ["s/0/main/one/conv1 8/2", "s/0/main/one2/conv1 8/1", "s/0/shortcut/conv1 8/2"]),
        # Names
        ("(3x3, $in * 2) x2 | 1x1, $in", ["s/0/conv1 8/1", "s/1/conv1 16/1", "s/conv1 16/1"]),
        ("(3x3, 8; 3x3, $in)", ["s/0/conv1 8/1", "s/0/conv2 4/1"]),
        ("(3x3, 2 * $index + $stride) x2 /2 | (1x1, $index)", ["s/0/conv1 2/2", "s/1/conv1 3/1", "s/2/conv1 2/1"]),
        ("two($in + $n)", ["s/0/conv1 7/1", "s/0/conv2 7/1"]),
        ("inputs()", ["s/0/conv1 8/1", "s/0/conv2 4/1"]),
        # A block sees the parameters of the spec, not those of its caller.
        ("outer(9)", ["s/0/conv1 9/1", "s/0/inner/conv1 3/1"]),
        # A block may end its own recursion.
        ("down(3)", ["s/0/conv1 3/1", "s/0/down/conv1 2/1", "s/0/down/down/conv1 1/1"]),
    ],
)
def test_strides_and_names(row: str, expected: list[str], tmp_path: Path) -> None:
    blocks = """\
blocks:
  one: {params: {width: null}, body: "3x3, $width"}
  two: {params: {width: null}, body: "3x3, $width | 3x3, $width"}
  second: {params: {width: null}, body: "3x3, $width | 3x3, $width, /$stride"}
  pooled: {params: {width: null}, body: "maxpool 3x3, /$stride | 3x3, $width"}
  twice: {params: {width: null}, body: "(3x3, $width) x2 | (3x3, $width) x2"}
  both:
    params: {width: null}
    branches: {a: "3x3, $width", b: "3x3, $width | 3x3, $width"}
    merge: add
  inputs: {body: "3x3, 8 | 3x3, $in"}
  outer: {params: {n: null}, body: "3x3, $n | inner()"}
  inner: {body: "3x3, $n"}
  down:
    params: {k: null}
    choose:
      - {if: $k == 1, then: "3x3, 1"}
      - {then: "3x3, $k | down($k - 1)"}
"""
    assert convolutions(compile_text(tmp_path, f"{HEAD}{blocks}stages: {{s: '{row}'}}\n")) == expected


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("relu | maxpool 2x2 | relu", "s/relu s/maxpool s/relu2"),
        ("3x3, 4 | 3x3, 4, linear", "s/conv1 s/norm1 s/act1 s/conv2 s/norm2"),
        ("norm | act | identity | conv 1x1, 4", "s/norm s/act s/conv"),
        ("basic(4)", "s/0/main/conv1 s/0/main/norm1 s/0/main/act1 s/0/main/conv2 s/0/main/norm2 s/0/add s/0/act"),
        ("[1x1, 4]", "s/0/main/conv1 s/0/main/norm1 s/0/add s/0/act"),
        ("(relu) x2 | gap | (relu)", "s/0/relu s/1/relu s/gap s/2/relu"),
        (
            "([relu]; [relu])",
            "s/0/block/main/relu s/0/block/add s/0/block/act s/0/block2/main/relu s/0/block2/add s/0/block2/act",
        ),
        ("se(1)", "s/0/gate/gap s/0/gate/conv s/0/gate/relu s/0/gate/conv2 s/0/gate/sigmoid s/0/mul"),
    ],
)
def test_paths(row: str, names: str, tmp_path: Path) -> None:
    graph = compile_text(tmp_path, f"{HEAD}stages: {{s: '{row}'}}\n")
    assert [node.name for node in graph.nodes] == ["data", *names.split()]


def test_defaults(tmp_path: Path) -> None:
    text = "defaults: {norm: batchnorm eps=0.1, act: identity, ops: {conv: {bias: 1, C: 2}}}\n"
    graph = compile_text(tmp_path, f"{HEAD}{text}stages: {{s: '3x3, 8, C=1 | 3x3, 8, bias=0'}}\n")
    ops: Mapping[str, Any] = {node.name: node.op for node in graph.nodes}
    assert list(ops) == ["data", "s/conv1", "s/norm1", "s/conv2", "s/norm2"]
    assert (ops["s/conv1"].bias, ops["s/conv1"].groups) == (True, 1)
    assert (ops["s/conv2"].bias, ops["s/conv2"].groups) == (False, 2)
    assert ops["s/norm1"] == BatchNorm(0.1)
