"""Name maps: the names of the authors' own Caffe models, one to one, and what a map may not leave open."""

from __future__ import annotations

import hashlib
import re

import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure, Source, Span
from resnetgen.formats.caffe.lower import lower
from resnetgen.formats.caffe.write import plan
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import Add, Conv, Fc, Relu
from resnetgen.spec.yaml import Scalar, parse
from resnetgen.weights.name_patterns import _letter, parse_pattern, parse_templates
from resnetgen.weights.names import NameMap, layer_names, load_name_map, make_name_map
from support.helpers import bundled, compile_text, graph

AUTHORS = [
    # Network, name map, SHA-256 of the authors' prototxt (prototxt/ in KaimingHe/deep-residual-networks).
    ("resnet50", "msra", "2f8fb64f68c6bcda94eb2640f80aed94efb91664122e72a6b7587012cc57dedc"),
    ("resnet101", "msra-deep", "5df4375748076544e6cc4bfde7885e633312b5ed529d65cc2ff6573a819ea972"),
]
MAPPED = [
    ("resnet18", "msra"),
    ("resnet34", "msra"),
    ("resnet50", "msra"),
    ("resnet101", "msra-deep"),
    ("resnet152", "msra-deep"),
]


@pytest.mark.parametrize(("network", "names", "digest"), AUTHORS)
def test_authors_prototxts_byte_for_byte(network: str, names: str, digest: str) -> None:
    text = plan(bundled(network), load_name_map(names), 1, with_weights=True).text
    assert hashlib.sha256(text.encode()).hexdigest() == digest


@pytest.mark.parametrize(("network", "names", "digest"), AUTHORS)
def test_authors_prototxts_need_their_own_map(network: str, names: str, digest: str) -> None:
    """Negative control: each other's map, or none, gives another file."""
    for other in {"msra", "msra-deep"} - {names}:
        text = plan(bundled(network), load_name_map(other), 1, with_weights=True).text
        assert hashlib.sha256(text.encode()).hexdigest() != digest
    text = plan(bundled(network), None, 1, with_weights=True).text
    assert hashlib.sha256(text.encode()).hexdigest() != digest


def names_of(network: str, names: str) -> dict[str, tuple[str, ...]]:
    return lower(bundled(network), load_name_map(names)).names


PLACES = [
    # Place in the IR: names in 50, 101 and 152.
    ("data", ("data",), ("data",), ("data",)),
    ("conv1/conv1", ("conv1",), ("conv1",), ("conv1",)),
    ("conv1/norm1", ("bn_conv1", "scale_conv1"), ("bn_conv1", "scale_conv1"), ("bn_conv1", "scale_conv1")),
    ("conv1/act1", ("conv1_relu",), ("conv1_relu",), ("conv1_relu",)),
    ("conv2_x/maxpool", ("pool1",), ("pool1",), ("pool1",)),
    ("conv2_x/0/shortcut/conv1", ("res2a_branch1",), ("res2a_branch1",), ("res2a_branch1",)),
    ("conv2_x/2/main/conv3", ("res2c_branch2c",), ("res2c_branch2c",), ("res2c_branch2c",)),
    ("conv3_x/0/add", ("res3a",), ("res3a",), ("res3a",)),
    ("conv3_x/1/add", ("res3b",), ("res3b1",), ("res3b1",)),
    ("conv3_x/3/main/act2", ("res3d_branch2b_relu",), ("res3b3_branch2b_relu",), ("res3b3_branch2b_relu",)),
    ("conv3_x/7/act", None, None, ("res3b7_relu",)),
    (
        "conv4_x/0/shortcut/norm1",
        ("bn4a_branch1", "scale4a_branch1"),
        ("bn4a_branch1", "scale4a_branch1"),
        ("bn4a_branch1", "scale4a_branch1"),
    ),
    ("conv4_x/5/add", ("res4f",), ("res4b5",), ("res4b5",)),
    ("conv4_x/22/add", None, ("res4b22",), ("res4b22",)),
    ("conv4_x/35/add", None, None, ("res4b35",)),
    ("conv4_x/35/main/norm3", None, None, ("bn4b35_branch2c", "scale4b35_branch2c")),
    ("conv4_x/36/add", None, None, None),
    ("conv5_x/2/add", ("res5c",), ("res5c",), ("res5c",)),
    ("conv5_x/2/act", ("res5c_relu",), ("res5c_relu",), ("res5c_relu",)),
    ("head/avgpool", ("pool5",), ("pool5",), ("pool5",)),
    ("head/fc", ("fc1000",), ("fc1000",), ("fc1000",)),
    ("head/softmax", ("prob",), ("prob",), ("prob",)),
]


def test_names_by_place() -> None:
    found = [names_of("resnet50", "msra"), names_of("resnet101", "msra-deep"), names_of("resnet152", "msra-deep")]
    assert [(place, *(names.get(place) for names in found)) for place, *_ in PLACES] == PLACES


@pytest.mark.parametrize(("network", "names"), MAPPED)
def test_one_to_one(network: str, names: str) -> None:
    """No name twice, every node named, and by the authors' alphabet."""
    called = names_of(network, names)
    every = [name for layers in called.values() for name in layers]
    assert called.keys() == {node.name for node in bundled(network).nodes}
    assert len(set(every)) == len(every)
    pattern = r"data|conv1|bn_conv1|scale_conv1|conv1_relu|pool1|pool5|fc1000|prob"
    pattern += r"|(res|bn|scale)[2-5]([a-z]|b\d+)_branch(1|2[abc])|res[2-5]([a-z]|b\d+)(_branch2[ab])?_relu"
    pattern += r"|res[2-5]([a-z]|b\d+)"
    assert [name for name in every if not re.fullmatch(pattern, name)] == []


def test_blocks_of_152() -> None:
    """Its authors published no counts beside these: 3, 8, 36 and 3 blocks, a then b1, b2 ... in stages 3 and 4."""
    sums = [names[0] for place, names in names_of("resnet152", "msra-deep").items() if place.endswith("/add")]
    wanted = ["res2a", "res2b", "res2c", "res3a", *(f"res3b{n}" for n in range(1, 8))]
    wanted += ["res4a", *(f"res4b{n}" for n in range(1, 36)), "res5a", "res5b", "res5c"]
    assert sums == wanted


def test_top_before_bottom() -> None:
    """In 101 and 152 the ReLUs after conv1, 2a and 2b; never in 50."""
    for network, names, expected in [
        ("resnet50", "msra", 0),
        ("resnet101", "msra-deep", 1 + 2 * 33),
        ("resnet152", "msra-deep", 1 + 2 * 50),
    ]:
        layers = lower(bundled(network), load_name_map(names)).layers
        first = [layer for layer in layers if layer.top_first]
        assert len(first) == expected
        assert {layer.type for layer in first} <= {"ReLU"}
        assert not any(re.fullmatch(r"res\d[a-z]\d*_relu", layer.name) for layer in first)


def test_names_are_the_layers() -> None:
    """The plan's names, the prototxt's layers and the input's blob are the same set."""
    net = lower(bundled("resnet50"), load_name_map("msra"))
    assert {name for layers in net.names.values() for name in layers} == {layer.name for layer in net.layers} | {
        net.input
    }


LETTERS = [(0, "a"), (1, "b"), (25, "z"), (26, "aa"), (27, "ab"), (51, "az"), (52, "ba"), (701, "zz"), (702, "aaa")]


def test_letters_never_run_out() -> None:
    assert [(number, _letter(number)) for number, _ in LETTERS] == LETTERS
    assert len({_letter(number) for number in range(5000)}) == 5000


# Patterns and names

RULES = [
    # A pattern of paths, a path, the names, and what these are; None where the path does not fit.
    ("conv{s}_x/{b}/add", "conv3_x/12/add", "res{s}.{b}", ["res3.12"]),
    ("conv{s}_x/{b}/add", "conv3_x/12/add", "layer{$s - 1}.{$b % 10} all", ["layer2.2", "all"]),
    ("conv{s}_x/{b}/add", "conv3_x/12/add", "{b:letter} {$b - 12:letter} {b:numbered} {$b - 12:numbered}", "m a b12 a"),
    ("conv{s}_x/{b}/add", "conv3_x/0/add", "{3 * ($s - 1)}{9 if $b == 0 else $b}{$s != 3}", ["690"]),
    ("conv{s:3,14}_x/{b}/add", "conv14_x/0/add", "{s}", ["14"]),
    ("conv{s:3,14}_x/{b}/add", "conv4_x/0/add", "{s}", None),
    ("conv{s}_x/{b}/add", "conv3_x/0/add2", "{s}", None),
    ("conv{s}_x/{b}/add", "conv3_x/0/main/add", "{s}", None),
    ("conv{s}_x/{b}/add", "conv_x/0/add", "{s}", None),
    ("a.c", "abc", "a", None),
    ("head/fc", "head/fc", "fc{units} {units}{$units // 100}", ["fc1000", "100010"]),
]


def scalar(text: str) -> Scalar:
    return Scalar(text, Span(Source("map.yaml", text), 0, len(text)), plain=True)


@pytest.mark.parametrize(("pattern", "path", "names", "wanted"), RULES)
def test_a_rule(pattern: str, path: str, names: str, wanted: str | list[str] | None) -> None:
    captures = parse_pattern(scalar(pattern)).match(path)
    templates = parse_templates(scalar(names))
    found = None if captures is None else [each.fill(captures, Node(path, Fc(1000), ())) for each in templates]
    assert found == (wanted.split() if isinstance(wanted, str) else wanted)


@pytest.mark.parametrize(
    ("names", "message", "column"),
    [
        ("bn {$s +}", "unexpected end of the text", 9),
        ("bn {$s} {$k - 1}", "unknown name $k", 10),
        ("bn {$s} {k}", "unknown name $k", 10),
    ],
)
def test_a_rule_that_means_nothing(names: str, message: str, column: int) -> None:
    with pytest.raises(Failure) as caught:
        _ = [each.fill({"s": 2}, Node("x", Relu(), ())) for each in parse_templates(scalar(names))]
    (problem,) = caught.value.problems
    assert problem.message == message
    assert problem.span is not None
    assert problem.span.column == column


def test_variants() -> None:
    """The rules of a variant come first, and only where the network has its node."""
    rules = "layers: {{a: plain, b: b}}\nvariants: {{{where}: {{a: deep}}}}"
    net = graph((3, 8, 8), a=(Relu(), "data"), b=(Relu(), "a"))
    for where, wanted in [("b", "deep"), ("c", "plain")]:
        names = make_name_map(parse(Source("map.yaml", rules.format(where=where))), NameMap())
        assert [names.of(net).names(node) for node in net.nodes] == [None, (wanted,), ("b",)]
        assert names.names(net["a"]) == ("plain",)


# What a map may not leave open

SMALL = """
use: std
input: 3x16x16
stages:
  conv1:   16x16 | 3x3, 8
  conv2_x: 16x16 | [3x3, 8; 3x3, 8] x2
  {extra}
  head: gap | fc 10
"""


def problems(net: Graph, names: NameMap) -> list[str]:
    with pytest.raises(Failure) as caught:
        plan(net, names, 1, with_weights=False)
    assert exit_code(caught.value) is Exit.SPEC
    assert {problem.code for problem in caught.value.problems} == {Code.NAME_MAP}
    return [problem.message for problem in caught.value.problems]


def test_a_node_without_a_name() -> None:
    """All of them at once, each at its place."""
    net = compile_text(SMALL.replace("{extra}", "tail: 3x3, 8"))
    with pytest.raises(Failure) as caught:
        plan(net, load_name_map("msra"), 1, with_weights=False)
    assert [(problem.message, problem.span and problem.span.line) for problem in caught.value.problems] == [
        ("the name map has no name for tail/conv1", 7),
        ("the name map has no name for tail/norm1", 7),
        ("the name map has no name for tail/act1", 7),
    ]
    assert exit_code(caught.value) is Exit.SPEC
    assert all("names: null" in problem.hint for problem in caught.value.problems)
    assert plan(net, None, 1, with_weights=False).text  # without a map every place is a name


def test_a_name_for_two_nodes() -> None:
    """pool1 is the pooling before any stage: a second one has the same name."""
    net = compile_text(SMALL.replace("{extra}", "conv3_x: 7x7 | maxpool 3x3, /2 | [3x3, 8; 3x3, 8]"))
    assert plan(net, load_name_map("msra"), 1, with_weights=False).text
    net = compile_text(
        SMALL.replace("{extra}", "conv3_x: 4x4 | maxpool 2x2, /2 | [3x3, 8; 3x3, 8] /2").replace(
            "conv2_x: 16x16 |", "conv2_x: 16x16 | maxpool 3x3, p=1 |"
        )
    )
    assert problems(net, load_name_map("msra")) == ["the name map calls both conv2_x/maxpool and conv3_x/maxpool pool1"]


def test_stage_numbers_that_read_the_same() -> None:
    net = graph(
        (3, 8, 8),
        **{
            "conv2_x/0/main/conv1": (Conv((3, 3), 4), "data"),
            "conv02_x/0/main/conv1": (Conv((3, 3), 4), "data"),
            "conv2_x/0/add": (Add(), "conv2_x/0/main/conv1", "conv02_x/0/main/conv1"),
        },
    )
    assert problems(net, load_name_map("msra")) == [
        "the name map calls both conv2_x/0/main/conv1 and conv02_x/0/main/conv1 res2a_branch2a"
    ]


def test_an_unknown_map() -> None:
    with pytest.raises(Failure, match="no name map is called 'msr'") as caught:
        load_name_map("msr")
    assert caught.value.problems[0].hint == "did you mean msra?"
    for name in ("../std", "", "msra.yaml", "names/msra"):
        with pytest.raises(Failure, match="no name map is called"):
            load_name_map(name)


def test_more_layers_than_names() -> None:
    """A node that becomes more layers than its map has names for: the last name, numbered."""
    net = graph((3, 8, 8), a=(Relu(), "data"), b=(Fc(10), "a"))
    assert layer_names(net, None, {"data": 1, "a": 3, "b": 1}) == {
        "data": ("data",),
        "a": ("a", "a/2", "a/3"),
        "b": ("b",),
    }
