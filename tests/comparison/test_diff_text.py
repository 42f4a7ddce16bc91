"""Comparison of prototxts: the text format, places in it, and files that are refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from google.protobuf import text_encoding, text_format

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.comparison import load
from resnetgen.errors import Failure, Source
from resnetgen.formats.caffe.model import text
from resnetgen.formats.caffe.model.schema import message
from support.places import DATA
from support.prototxts import HEAD, exit_of, failure, layer

PROTOTXTS = DATA / "diff"


def tree(written: str) -> list[object]:
    def shown(fields: text.Message) -> list[object]:
        return [(f.name, shown(f.value) if isinstance(f.value, text.Message) else f.value.text) for f in fields.fields]

    return shown(text.parse(Source("net.prototxt", written)))


def test_the_text_format() -> None:
    written = r"""# a comment
a: 1, b: -2.5e-3; c: "x\"\\y" 'z' "\303\251\x41\u00e9"  # adjacent strings are one
d { e: TRUE } d: { } d < f: [1, 2,
3], g: [] > h [{ i: 1 }, <>]
j: - 1.f k: inf l: -inf m: 0x1F n: .5"""
    assert tree(written) == [
        *[("a", "1"), ("b", "-2.5e-3"), ("c", 'x"\\yzéAé')],
        *[("d", [("e", "TRUE")]), ("d", []), ("d", [("f", "1"), ("f", "2"), ("f", "3")])],
        *[("h", [("i", "1")]), ("h", []), ("j", "-1.f"), ("k", "inf"), ("l", "-inf"), ("m", "0x1F"), ("n", ".5")],
    ]


def test_places() -> None:
    fields = text.parse(Source("net.prototxt", 'a: 1\n  b {\n\tc: "x" }')).fields
    inner = fields[1].value
    assert isinstance(inner, text.Message)
    assert [(f.name, f.span.line, f.span.column) for f in (*fields, *inner.fields)] == [
        *[("a", 1, 1), ("b", 2, 3), ("c", 3, 2)]
    ]


def test_strings_as_protobuf_reads_them() -> None:
    rng = random.Random(1)
    for _ in range(200):
        data = bytes(rng.choice(b"\0\n\"'\\x7a\xc3\xa9\xff ") for _ in range(rng.randrange(12)))
        (field,) = tree(f'a: "{text_encoding.CEscape(data, as_utf8=False)}"')
        assert isinstance(field, tuple)
        assert field[1].encode("utf-8", "surrogateescape") == data


@pytest.mark.parametrize(
    "number",
    ["3", "03", "08", "0x1f", "-3", "3.0", "3f", "1e1", "3x3", "4294967295", "4294967296", "true", '"3"', "{}"],
)
@pytest.mark.parametrize("field", ["num_output", "axis", "bias_term", "num_output_"])
def test_numbers_as_protobuf_reads_them(field: str, number: str) -> None:
    """What protobuf's own parser refuses is refused, and nothing else; but for fields that it does not know."""
    written = layer("Convolution", f"convolution_param {{ {field}: {number} }}")
    try:
        text_format.Parse(written, message("NetParameter")(), allow_unknown_field=True)
        accepted = True
    except text_format.ParseError:
        accepted = False
    assert (exit_of(HEAD + written) is None) == accepted


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (
            'name: "n"\nlayer {\n  type: "ReLU"\n',
            """\
net.prototxt:2:7: error[prototxt-syntax]: this { is never closed
    2 | layer {
      |       ^
  hint: a } is missing""",
        ),
        (
            'layer { name: "conv }\n}',
            """\
net.prototxt:1:15: error[prototxt-syntax]: a string that has no end
    1 | layer { name: "conv }
      |               ^
  hint: close it with " on the same line""",
        ),
        (
            "layer {\n  pad: \n}",
            """\
net.prototxt:3:1: error[prototxt-syntax]: unexpected '}'
    3 | }
      | ^
  hint: expected a value""",
        ),
        (
            "layer { } }",
            """\
net.prototxt:1:11: error[prototxt-syntax]: this } closes nothing
    1 | layer { } }
      |           ^""",
        ),
        (
            r'layer { name: "a\qb" }',
            r"""net.prototxt:1:17: error[prototxt-syntax]: \q is no escape
    1 | layer { name: "a\qb" }
      |                 ^^
  hint: a backslash is written \\""",
        ),
        (
            "name:",
            """\
net.prototxt:1:5: error[prototxt-syntax]: the file ends where a value is expected
    1 | name:
      |     ^""",
        ),
        (
            'layer { name: "x" type: "Convolution" convolution_param { stride: -1 } }',
            """\
net.prototxt:1:59: error[bad-model]: stride takes a whole number from 0 to 4294967295, not -1
    1 | layer { name: "x" type: "Convolution" convolution_param { stride: -1 } }
      |                                                           ^^^^^^""",
        ),
        (
            'layer { name: "x" name: "y" type: "ReLU" }',
            """\
net.prototxt:1:19: error[bad-model]: name is given twice
    1 | layer { name: "x" name: "y" type: "ReLU" }
      |                   ^^^^""",
        ),
        (
            'layer { name: "x" type: "ReLU" bottom: "data" top: "x" }',
            """\
net.prototxt:1:32: error[bad-model]: the layer x reads data, which nothing before it writes
    1 | layer { name: "x" type: "ReLU" bottom: "data" top: "x" }
      |                                ^^^^^^
  hint: a bottom is an input, or the top of a layer before""",
        ),
        (
            'layer { name: "d" type: "Data" top: "data" include { phase: TRAIN } }\n'
            'layer { name: "x" type: "ReLU" bottom: "data" top: "x" }',
            """\
net.prototxt:2:32: error[bad-model]: the layer x reads data, which nothing before it writes
    2 | layer { name: "x" type: "ReLU" bottom: "data" top: "x" }
      |                                ^^^^^^
  hint: net.prototxt:1 writes it, but not in the phase TEST; compare the deploy prototxt""",
        ),
        (
            'input: "a" input: "b" input_dim: [1, 3, 8, 8] layer { name: "x" type: "ReLU" }',
            """\
net.prototxt:1:23: error[bad-model]: input_dim is given 4 times; each of 2 inputs takes four
    1 | input: "a" input: "b" input_dim: [1, 3, 8, 8] layer { name: "x" type: "ReLU" }
      |                       ^^^^^^^^^""",
        ),
        (
            'net: "train_val.prototxt"\nbase_lr: 0.1\n',
            """\
error[bad-model]: net.prototxt has no layers
  hint: a net's layers are written as layer { ... }; a solver's file has none""",
        ),
    ],
)
def test_errors(written: str, expected: str) -> None:
    error = failure(written)
    assert str(error) == expected
    assert exit_code(error) is Exit.MODEL


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "broken.prototxt",
            """\
{path}:7:18: error[prototxt-syntax]: unexpected '3x3'
    7 |     kernel_size: 3x3
      |                  ^^^
  hint: expected a value""",
        ),
        (
            "v0.prototxt",
            """\
{path}:4:10: error[unsupported]: a layer of Caffe's layout of 2013
    4 | layers {{ layer {{ name: "relu1" type: "relu" }} bottom: "data" top: "relu1" }}
      |          ^^^^^
  hint: Caffe's upgrade_net_proto_text and upgrade_net_proto_binary convert it""",
        ),
    ],
)
def test_files_that_are_refused(file: str, expected: str) -> None:
    with pytest.raises(Failure) as caught:
        load(PROTOTXTS / file)
    assert str(caught.value) == expected.format(path=PROTOTXTS / file)
    assert exit_code(caught.value) is Exit.MODEL


def test_files_that_are_no_prototxt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.prototxt"

    def refused() -> tuple[Exit, str]:
        with pytest.raises(Failure) as caught:
            load(path)
        return exit_code(caught.value), str(caught.value).replace(str(path), "F")

    assert refused() == (Exit.IO, "error[missing-file]: no such file: F")
    path.mkdir()
    assert refused() == (Exit.IO, "error[missing-file]: cannot read F: it is a folder, not a file")
    path.rmdir()
    path.write_bytes(message("NetParameter")(name="weights").SerializeToString())
    hint = "  hint: a caffemodel holds the weights; name the .prototxt beside it"
    assert refused() == (Exit.MODEL, f"error[bad-model]: F is a binary file, not a prototxt\n{hint}")
    path.write_bytes(b"")
    assert refused()[0] is Exit.MODEL
    monkeypatch.setattr(text, "MAX_BYTES", 10)
    path.write_bytes(b"# 12345678\n")
    assert refused() == (Exit.LIMIT, "error[limit]: F is larger than 10 bytes, the limit for a prototxt")


def test_any_encoding_passes_where_caffe_lets_it(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes("\ufeff# 网络\r\n".encode() + "# 网络\n".encode("gbk") + (HEAD + layer("ReLU")).encode())
    assert len(load(path).records) == 2


def test_nesting_is_limited() -> None:
    deepest = "p {" * text.MAX_DEPTH + "}" * text.MAX_DEPTH
    assert tree(deepest)
    assert exit_of(f"p {{ {deepest} }}") is Exit.LIMIT
    assert exit_of("p {" * 5_000 + "}" * 5_000) is Exit.LIMIT
    assert exit_of("p {" * 5_000) is Exit.LIMIT
    assert exit_of("p {" * text.MAX_DEPTH) is Exit.MODEL


def test_nothing_but_failures_comes_of_broken_text() -> None:
    rng = random.Random(2)
    whole = (PROTOTXTS / "block_in_other_words.prototxt").read_text()
    for _ in range(250):
        start = rng.randrange(len(whole))
        cut = (
            whole[:start]
            + rng.choice(["", "{", "}", '"', "\\", ":", "[", "1", "<", "-"])
            + whole[start + rng.randrange(9) :]
        )
        assert exit_of(cut) in (None, Exit.MODEL)
