"""Specs, as YAML and as rows."""

from __future__ import annotations

from pathlib import Path

from fuzz.mutate.octets import mostly
from fuzz.mutate.tokens import Tokens
from fuzz.target import Target
from resnetgen.cli.exits import Exit
from resnetgen.errors import Failure, Source, Span
from resnetgen.expand import expand
from resnetgen.ir.ops import VOCABULARY
from resnetgen.paths import SPECS as BUNDLED
from resnetgen.spec.expressions import evaluate
from resnetgen.spec.load import load_file
from resnetgen.spec.rows import parse_cells, parse_expression, parse_row, parse_size
from resnetgen.spec.syntax import Binary, Choice, Number, Unary, Variable
from resnetgen.spec.yaml import Mapping, Scalar, parse, read_source
from resnetgen.weights.names import load_name_map

_NODES = 400
"""What a spec may become here; its parsers are the matter."""
_EXITS = frozenset({Exit.SPEC, Exit.IO, Exit.LIMIT})

_SMALL = (
    """\
use: [std, caffe_images]
name: "tiny / 2"
input: 3x16x12
names: msra
params: {n: 2, wide: 1.5, classes: 3}
preprocess: {color: bgr, mean: [104, 117, 123.5], std: null, resize: 20x16, crop: 16x12, interpolation: bicubic}
stages:
  conv1: 8x6 | 3x3, 4, /2
  # a comment
  conv2_x: '[1x1, 4; 3x3, 4; 1x1, 8] x $n'
  head: gap | flatten | fc $classes | softmax
""",
    """\
use: std
input: 2x8x8
defaults:
  unit: [conv, norm, act]
  norm: batchnorm eps=0.001
  ops: {conv: {bias: true}}
  bracket: {shortcut: shortcut.B, stride_on: first, branches: [shortcut, main], after: act}
stages:
  a: {block: "[3x3, 8; 3x3, 8]", repeat: $n * 1, stride: 2, pre: ["maxpool 3x3, ceil"], post: [relu]}
  b: >-
    (3x3, 8;
     3x3, 8) x2
params:
  n: 1
""",
    """\
use: std
input: 8x4x4
blocks:
  gate:
    doc: a gate
    params: {width: null, ratio: 2}
    let: {inner: $width // $ratio if $ratio > 1 else $width}
    branches:
      x: identity
      gate: gap | conv 1x1, $inner, bias | relu | conv 1x1, $width | sigmoid
    merge: mul
  either:
    choose:
      - {if: $stride == 1 and $in == 8, then: identity}
      - {then: ["1x1, 8, /$stride", relu]}
stages: {a: "gate(8) | either()"}
""",
)
_CHILD = """\
extends: resnet18
stages:
  conv2_x: {repeat: 1, size: 56x56, post: [relu]}
  conv3_x: ~
  conv4_x: ~
  conv5_x: 28x28 | [3x3, 128; 3x3, 128] /2
  head: ~
"""
_WORDS = (
    *(
        b"use",
        b"std",
        b"extends",
        b"resnet50",
        b"name",
        b"input",
        b"names",
        b"params",
        b"defaults",
        b"blocks",
        b"stages",
    ),
    *(b"preprocess", b"unit", b"bracket", b"shortcut", b"branches", b"merge", b"post", b"pre", b"block", b"repeat"),
    *(b"stride", b"args", b"let", b"add", b"mul", b"concat", b"$n", b"$index", b"$out", b"$in", b"$classes", b"if"),
    *(b"else", b"and", b"or", b"//", b"%", b"==", b"<=", b"x", b"x2", b"/2", b"|", b";", b"3x3", b"224x224", b"C=32"),
    *(b"bottleneck(64)", b"basic(64, groups=2)", b"gap", b"bias", b"ceil", b"main", b"norm", b"act", b"conv", b"msra"),
    *(keyword.encode() for keyword in VOCABULARY),
)


def parse_spec(data: bytes, folder: Path) -> None:
    path = folder / "spec.yaml"
    path.write_bytes(data)
    spec = load_file(path, shown=path.name)
    if spec.names:
        load_name_map(spec.names.text, spec.names.span)
    expand(spec, _NODES)


def spec_seeds() -> list[bytes]:
    bundled = [(BUNDLED / f"{name}.yaml").read_bytes() for name in ("resnet50", "resnet20_cifar_c")]
    return [text.encode() for text in (*_SMALL, *_SMALL, _CHILD)] + bundled


_SCOPE = {"n": 3, "classes": 10, "in": 8, "stride": 1, "width": 64, "base": 64, "groups": 1, "wide": 1.5}


def parse_text(data: bytes, folder: Path) -> None:
    """A text as each of what the grammar knows; one that fits one of them fits hardly any other."""
    text = data.decode("utf-8", "replace")
    scalar = Scalar(text, Span(Source("spec.yaml", text), 0, len(text)), plain=False)
    refused = None
    for grammar in (parse_row, parse_cells, parse_size, parse_expression):
        try:
            value = grammar(scalar)
        except Failure as failure:
            str(failure)
            refused = failure
            continue
        if isinstance(value, Number | Variable | Unary | Binary | Choice):
            evaluate(value, _SCOPE)
        return
    assert refused
    raise refused


def text_seeds() -> list[bytes]:
    """The rows and expressions of the bundled specs."""
    rows = {b"3 * $n - (2 if $n > 1.5 else -1e3) // 4 % 3", b"3x224x224", b"7x7 | [1x1, $n; 3x3, 2 * $n] x $n + 1 /2"}
    for path in (*BUNDLED.rglob("*.yaml"), Path(load_file.__code__.co_filename).parents[1] / "library" / "std.yaml"):
        _collect(parse(read_source(path)), rows)
    return sorted(rows)


def _collect(mapping: Mapping, rows: set[bytes]) -> None:
    for _, value in mapping:
        if isinstance(value, Mapping):
            _collect(value, rows)
        elif isinstance(value, Scalar) and any(sign in value.text for sign in "|[$,"):
            rows.add(value.text.encode())


SPECS = (
    Target("yaml", parse_spec, spec_seeds, mostly(Tokens(_WORDS)), _EXITS),
    Target("rows", parse_text, text_seeds, mostly(Tokens(_WORDS)), frozenset({Exit.SPEC})),
)
