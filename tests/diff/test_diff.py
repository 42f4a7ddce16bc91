"""Comparison of prototxts by meaning: what is read, what is the same, what differs, and how it is said."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from google.protobuf import text_encoding, text_format
from msgspec.structs import replace

from resnetgen.comparison import Difference, Net, Record, Word, compare, load, parse
from resnetgen.errors import Exit, Failure, Source, Span
from resnetgen.formats.caffe.model import text
from resnetgen.formats.caffe.model.schema import message
from support.diff_nets import changed_at
from support.places import DATA, GENERATED

PROTOTXTS = DATA / "diff"
# The authors' own files, byte for byte: tests/weights/test_names.py has their SHA-256.
RESNET50 = GENERATED / "resnet50/resnet50.prototxt"
RESNET101 = GENERATED / "resnet101/resnet101.prototxt"

HEAD = 'name: "n" input: "data" input_shape { dim: [1, 3, 8, 8] }\n'


def differs(a: str, b: str, ignore_names: bool = False) -> Difference:
    """Of two lists of layers, each line a line of a.prototxt or b.prototxt after the first."""
    return compare(parse(HEAD + a, "a.prototxt"), parse(HEAD + b, "b.prototxt"), ignore_names)


def failure(written: str) -> Failure:
    with pytest.raises(Failure) as caught:
        parse(written, "net.prototxt")
    return caught.value


def exit_of(written: str) -> Exit | None:
    """The exit code with which a text is refused; None: it is read, and equals itself."""
    try:
        net = parse(written)
    except Failure as error:
        return error.exit if str(error) else None
    return None if compare(net, net, ignore_names=True).equal else Exit.BUG


def layer(kind: str, params: str = "", bottom: str = "data", top: str = "x") -> str:
    """One layer; several bottoms or tops are divided by spaces."""
    bottoms = " ".join(f'bottom: "{blob}"' for blob in bottom.split())
    tops = " ".join(f'top: "{blob}"' for blob in top.split())
    return f'layer {{ name: "{top.split()[0]}" type: "{kind}" {bottoms} {tops} {params} }}\n'


# What is the same, and beside it what is not


@pytest.mark.parametrize(
    ("kind", "one", "same", "other"),
    [
        ("Convolution", "kernel_size: 3", "kernel_h: 3 kernel_w: 3", "kernel_h: 3 kernel_w: 1"),
        ("Convolution", "kernel_size: 3", "kernel_size: [3, 3]", "kernel_size: [3, 5]"),
        ("Convolution", "kernel_h: 3 kernel_w: 1", "kernel_size: 3 kernel_size: 1", "kernel_size: 1 kernel_size: 3"),
        ("Convolution", "", "pad: 0", "pad: 1"),
        ("Convolution", "", "stride: 1", "stride: 2"),
        ("Convolution", "", "stride_h: 1 stride_w: 1", "stride_h: 1 stride_w: 2"),
        ("Convolution", "", "dilation: 1", "dilation: 2"),
        ("Convolution", "dilation: 2", "dilation: 2 dilation: 2", "dilation: 2 dilation: 1"),
        ("Convolution", "", "bias_term: true", "bias_term: false"),
        ("Convolution", "", "group: 1 axis: 1", "group: 2"),
        ("Convolution", "pad: 1", "pad_h: 1 pad_w: 1", "pad_h: 1"),
        ("Convolution", "", 'weight_filler { type: "msra" } bias_filler { value: 1 } engine: CAFFE', "num_output: 1"),
        ("Deconvolution", "", "stride: 1", "stride: 2"),
        ("Pooling", "pool: MAX kernel_size: 2", "kernel_size: 2 stride: 1", "kernel_size: 2 stride: 2"),
        ("Pooling", "pool: AVE kernel_size: 2", "pool: 1 kernel_h: 2 kernel_w: 2 round_mode: CEIL", "kernel_size: 2"),
        ("Pooling", "kernel_size: 2", "kernel_size: 2 round_mode: CEIL", "kernel_size: 2 round_mode: FLOOR"),
        ("Pooling", "global_pooling: true", "global_pooling: true kernel_size: 7 round_mode: FLOOR", "kernel_size: 7"),
        ("BatchNorm", "", "use_global_stats: true", "use_global_stats: false"),
        ("BatchNorm", "eps: 0.1", "eps: 0.10000000149 moving_average_fraction: 0.9", "eps: 0.1001"),
        ("BatchNorm", "eps: 1e-5", "eps: 0.00001f", "eps: 1e-4"),
        ("Scale", "", "axis: 1 num_axes: 1 bias_term: false filler { value: 1 }", "bias_term: true"),
        ("InnerProduct", "num_output: 9", 'num_output: 9 weight_filler { type: "xavier" }', "num_output: 9 axis: 2"),
        ("Concat", "concat_dim: 2", "axis: 2", "axis: 1"),
        ("Concat", "", "concat_dim: 1", "concat_dim: 2"),
        ("Slice", "slice_dim: 2 slice_point: 4", "axis: 2 slice_point: 4", "axis: 2 slice_point: 5"),
        ("Dropout", "dropout_ratio: 0.5", "dropout_ratio: 0.2", "dropout_ratio: 0.2 sample_weights_test: true"),
        ("Eltwise", "", "operation: SUM coeff: 1 coeff: 1.0", "operation: SUM coeff: 1 coeff: -1"),
        ("Eltwise", "operation: 2", "operation: MAX stable_prod_grad: false", "operation: PROD"),
        ("ReLU", "", "negative_slope: -0", "negative_slope: 0.1"),
        ("LRN", "local_size: 5", "norm_region: ACROSS_CHANNELS k: 1", "norm_region: WITHIN_CHANNEL"),
    ],
)
@pytest.mark.parametrize("ignore_names", [False, True])
def test_ways_to_say_one_thing(kind: str, one: str, same: str, other: str, ignore_names: bool) -> None:
    written = [layer(kind, f"{_param_field(kind)} {{ {params} }}") for params in (one, same, other)]
    assert differs(written[0], written[1], ignore_names).render() == "equal: 1 layer, 0 differences"
    assert len(differs(written[0], written[2], ignore_names).layers) == 1
    assert len(differs(written[1], written[2], ignore_names).layers) == 1


def _param_field(kind: str) -> str:
    name = f"{'convolution' if kind == 'Deconvolution' else kind.lower()}param"
    return next(
        field for field in message("LayerParameter").DESCRIPTOR.fields_by_name if field.replace("_", "") == name
    )


def test_a_message_of_defaults_is_none() -> None:
    assert differs(layer("ReLU"), layer("ReLU", "relu_param { }")).equal
    assert not differs(layer("Custom"), layer("Custom", "custom_param { }")).equal


def test_what_only_training_uses_does_not_count() -> None:
    training = "loss_weight: 1 propagate_down: true param { lr_mult: 0 } param { decay_mult: 0 } phase: TEST"
    assert differs(layer("Convolution"), layer("Convolution", training)).equal


def test_a_shared_parameter_counts() -> None:
    one = layer("Convolution", 'param { name: "w" lr_mult: 1 } param { lr_mult: 2 }', "data", "a")
    two = layer("Convolution", 'param { name: "w" }', "a", "b")
    apart = layer("Convolution", 'param { name: "v" }', "a", "b")
    assert differs(one + two, one + two).equal
    expected = """\
layer b (Convolution)
  param[0].name: "w" (a.prototxt:3) -> "v" (b.prototxt:3)
1 layer differs, 0 only in A, 0 only in B, 1 equal"""
    assert differs(one + two, one + apart).render() == expected
    # By structure the name itself does not matter, but who shares.
    renamed = (one + two).replace('"w"', '"weights"')
    assert differs(one + two, renamed, ignore_names=True).equal
    assert not differs(one + two, one + apart, ignore_names=True).equal


def test_input_in_four_ways() -> None:
    rest = layer("ReLU")
    ways = [
        'name: "n" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8 ' + rest,
        'name: "n" input: "data" input_dim: [1, 3, 8, 8] ' + rest,
        HEAD + rest,
        'name: "n"' + layer("Input", "input_param { shape { dim: [1, 3, 8, 8] } }", "", "data") + rest,
    ]
    nets = [parse(way) for way in ways]
    assert all(compare(nets[0], net, ignore).equal for net in nets for ignore in (False, True))
    other = parse(ways[3].replace("8, 8", "8, 9"), "b.prototxt")
    expected = """\
input data
  shape: [1, 3, 8, 8] (a.prototxt:1) -> [1, 3, 8, 9] (b.prototxt:1)
1 input differs, 0 layers differ, 0 only in A, 0 only in B, 1 equal"""
    assert compare(parse(ways[0], "a.prototxt"), other).render() == expected


def test_several_inputs() -> None:
    rest = layer("Concat", "", "a b")
    legacy = parse('input: "a" input: "b" input_dim: [1, 1, 2, 3] input_dim: [1, 4, 2, 3] ' + rest)
    shapes = "shape { dim: [1, 1, 2, 3] } shape { dim: [1, 4, 2, 3] }"
    assert compare(legacy, parse(layer("Input", f"input_param {{ {shapes} }}", "", "a b") + rest)).equal
    one_for_all = layer("Input", "input_param { shape { dim: [1, 1, 2, 3] } }", "", "a b")
    assert not compare(legacy, parse(one_for_all + rest)).equal
    assert len(parse(one_for_all + rest).records) == 3


@pytest.mark.parametrize("ignore_names", [False, True])
def test_the_same_net_in_other_words(ignore_names: bool) -> None:
    a, b = load(PROTOTXTS / "block.prototxt"), load(PROTOTXTS / "block_in_other_words.prototxt")
    assert compare(a, b, ignore_names).render() == "equal: 8 layers, 0 differences"


@pytest.mark.parametrize("ignore_names", [False, True])
def test_in_place_or_not(ignore_names: bool) -> None:
    conv = layer("Convolution", "", "data", "c")
    in_place = layer("ReLU", "", "c", "c").replace('name: "c"', 'name: "r"')
    fresh = layer("ReLU", "", "c", "r")
    reads_c, reads_r = layer("TanH", "", "c", "t"), layer("TanH", "", "r", "t")
    assert differs(conv + in_place + reads_c, conv + fresh + reads_r, ignore_names).equal
    # Here t reads what the ReLU has not touched.
    assert not differs(conv + in_place + reads_c, conv + fresh + reads_c, ignore_names).equal


@pytest.mark.parametrize("ignore_names", [False, True])
def test_the_order_of_layers(ignore_names: bool) -> None:
    left, right = layer("Convolution", "", "data", "left"), layer("ReLU", "", "data", "right")
    end = layer("Eltwise", "", "left right", "sum")
    assert differs(left + right + end, right + left + end, ignore_names).equal
    # The order in which one blob is written over does matter.
    relu, tanh = (
        layer(kind, "", "left", "left").replace('name: "left"', f'name: "{kind}"') for kind in ("ReLU", "TanH")
    )
    assert not differs(left + relu + tanh, left + tanh + relu, ignore_names).equal


@pytest.mark.parametrize(
    ("kind", "params", "commutes"),
    [
        ("Eltwise", "", True),
        ("Eltwise", "eltwise_param { operation: PROD }", True),
        ("Eltwise", "eltwise_param { operation: MAX }", True),
        ("Eltwise", "eltwise_param { coeff: 1 coeff: -1 }", False),
        ("Concat", "", False),
        ("Custom", "", False),
    ],
)
@pytest.mark.parametrize("ignore_names", [False, True])
def test_the_order_of_bottoms(kind: str, params: str, commutes: bool, ignore_names: bool) -> None:
    both = layer("ReLU", "", "data", "a") + layer("TanH", "", "data", "b")
    one, other = (both + layer(kind, params, bottoms, "end") for bottoms in ("a b", "b a"))
    assert differs(one, other, ignore_names).equal == commutes


def test_which_bottom_differs() -> None:
    three = layer("ReLU", "", "data", "a") + layer("TanH", "", "data", "b") + layer("ELU", "", "data", "c")
    one, other = three + layer("Eltwise", "", "a b", "sum"), three + layer("Eltwise", "", "c a", "sum")
    expected = """\
layer sum (Eltwise)
  bottom[1]: b (a.prototxt:5) -> c (b.prototxt:5)
1 layer differs, 0 only in A, 0 only in B, 3 equal"""
    assert differs(one, other).render() == expected


def test_tops() -> None:
    cut = layer("Slice", "", "data", "low high")
    one, other = cut + layer("ReLU", "", "low", "r"), cut + layer("ReLU", "", "high", "r")
    expected = """\
layer r (ReLU)
  bottom[0]: low[0] (a.prototxt:3) -> low[1] (b.prototxt:3)
1 layer differs, 0 only in A, 0 only in B, 1 equal"""
    assert differs(one, other).render() == expected
    more = layer("Slice", "", "data", "low high rest") + layer("ReLU", "", "low", "r")
    expected = """\
layer low (Slice)
  tops: 2 (a.prototxt:2) -> 3 (b.prototxt:2)
1 layer differs, 0 only in A, 0 only in B, 1 equal"""
    assert differs(one, more).render() == expected


# Phases


@pytest.mark.parametrize(
    ("rules", "runs"),
    [
        ("", True),
        ("include { phase: TRAIN }", False),
        ("include { phase: TEST }", True),
        ("include { phase: 0 }", False),
        ("include { phase: TRAIN } include { phase: TEST }", True),
        ("exclude { phase: TEST }", False),
        ("exclude { phase: TRAIN }", True),
        ("include { min_level: 1 }", False),
        ("include { max_level: 0 }", True),
        ('include { stage: "deploy" }', False),
        ('include { phase: TEST not_stage: "deploy" }', True),
    ],
)
def test_layers_of_another_phase_are_left_out(rules: str, runs: bool) -> None:
    extra = layer("ReLU", rules, "data", "extra")
    assert len(parse(HEAD + layer("TanH") + extra).records) == 2 + runs


def test_the_state_of_the_net() -> None:
    extra = layer("ReLU", 'include { stage: "deploy" min_level: 2 }', "data", "extra")
    state = 'state { level: 2 stage: "deploy" stage: "fast" phase: TRAIN }\n'
    assert len(parse(HEAD + state + layer("TanH") + extra).records) == 3


# How a difference is said


def test_the_text_of_a_difference() -> None:
    a = """\
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {
    num_output: 8
    stride: 2
  }
}
layer { name: "act" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool1" type: "Pooling" bottom: "conv" top: "p" pooling_param { kernel_size: 2 } }
"""
    b = """\
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { bias_term: false
                      num_output: 8 }
}
layer { name: "act" type: "PReLU" bottom: "conv" top: "conv" }
"""
    difference = differs(a, b)
    assert (
        difference.render()
        == """\
layer conv (Convolution)
  convolution_param.stride: 2 (a.prototxt:5) -> 1 (b.prototxt:2, default)
  convolution_param.bias_term: true (a.prototxt:2, default) -> false (b.prototxt:3)
layer act (ReLU)
  type: ReLU (a.prototxt:8) -> PReLU (b.prototxt:6)
only in a.prototxt:9: layer pool1 (Pooling)
2 layers differ, 1 only in A, 0 only in B, 0 equal"""
    )
    assert not difference.equal
    found = json.loads(json.dumps(difference.to_json()))
    assert found["layers"][0]["fields"][0] == {
        "path": "convolution_param.stride",
        "a": {"value": 2, "place": "a.prototxt:5", "default": False},
        "b": {"value": 1, "place": "b.prototxt:2", "default": True},
    }
    assert found["only_a"] == [{"name": "pool1", "type": "Pooling", "place": "a.prototxt:9"}]
    assert (found["equal"], found["equal_layers"]) == (False, 0)


def test_the_name_of_the_net_counts_unless_names_do_not() -> None:
    a, b = parse(HEAD + layer("ReLU"), "a.prototxt"), parse('name: "m"' + HEAD[9:] + layer("ReLU"), "b.prototxt")
    expected = """\
net
  name: "n" (a.prototxt:1) -> "m" (b.prototxt:1)
1 of the net's fields, 0 layers differ, 0 only in A, 0 only in B, 1 equal"""
    assert compare(a, b).render() == expected
    assert compare(a, b, ignore_names=True).equal


def test_a_net_with_other_names_gets_a_hint() -> None:
    a = "".join(layer("ReLU", "", f"x{i - 1}" if i else "data", f"x{i}") for i in range(4))
    difference = differs(a, a.replace('"x', '"y'))
    assert difference.render().splitlines()[-2:] == [
        "0 layers differ, 4 only in A, 4 only in B, 0 equal",
        "hint: many names differ; --ignore-names matches layers by structure",
    ]
    expected = """\
renamed: 4: x0 -> y0, x1 -> y1, x2 -> y2, ...
equal: 4 layers, 0 differences"""
    same = differs(a, a.replace('"x', '"y'), ignore_names=True)
    assert same.render() == expected
    assert same.to_json()["renamed"] == [["x0", "y0"], ["x1", "y1"], ["x2", "y2"], ["x3", "y3"]]


def test_names_do_not_drive_the_terminal() -> None:
    evil = layer("ReLU", "", "data", "x").replace('name: "x"', r'name: "\033[2J\377"')
    expected = r"""only in a.prototxt:2: layer \x1b[2J\xff (ReLU)
0 layers differ, 1 only in A, 0 only in B, 1 equal"""
    assert differs(evil + layer("TanH"), layer("TanH")).render() == expected


# Layers that resnetgen does not know


def test_foreign_layers_are_compared_as_they_are_written() -> None:
    written = (PROTOTXTS / "ssd_head.prototxt").read_text()
    a = parse(written, "a.prototxt")
    assert [r.type for r in a.records if not r.is_input][5:] == ["PriorBox", "Python", "Silence"]
    assert compare(a, a).render() == "equal: 8 layers, 0 differences"
    same = written.replace("aspect_ratio: 2 aspect_ratio: 3", "aspect_ratio: [2.0, 3]")
    assert compare(a, parse(same)).equal
    b = parse(written.replace("min_size: 30.0", "min_size: 31").replace("value: 20", "value: 10"), "b.prototxt")
    expected = """\
layer norm (Normalize)
  norm_param.scale_filler.value: 20 (a.prototxt:6) -> 10 (b.prototxt:6)
layer priorbox (PriorBox)
  prior_box_param.min_size: 30 (a.prototxt:13) -> 31 (b.prototxt:13)
2 layers differ, 0 only in A, 0 only in B, 6 equal"""
    assert compare(a, b).render() == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('p { x: "1" }', "p { x: 1 }"),
        ("p { x: a }", "p { x: b }"),
        ("p { x: 1 }", "p { x: [1, 1] }"),
        ("p { x: 1 }", "q { x: 1 }"),
        ("p { y { } }", "p { }"),
        ("p { y { x: 1 } y { x: 2 } }", "p { y { x: 2 } y { x: 1 } }"),
        ("p { y { x: 1 } y { } }", "p { y { x: 1 } }"),
        ("convolution_param { novel: 1 }", "convolution_param { novel: 2 }"),
        ("convolution_param { novel { a: 1 } }", ""),
        ("pooling_param { pool: L2 }", "pooling_param { pool: AVE }"),
    ],
)
def test_foreign_fields_that_differ(one: str, other: str) -> None:
    assert differs(layer("X", one), layer("X", one)).equal
    assert len(differs(layer("X", one), layer("X", other)).layers) == 1


def test_foreign_fields_of_the_net_count() -> None:
    a, b = (parse(HEAD + f"mode: {mode} force_backward: true " + layer("ReLU")) for mode in ("fast", "slow"))
    assert [str(field) for field in compare(a, b).net] == ["mode: fast (prototxt:2) -> slow (prototxt:2)"]


# The text format


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
    assert error.exit is Exit.MODEL


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
    assert caught.value.exit is Exit.MODEL


def test_files_that_are_no_prototxt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.prototxt"

    def refused() -> tuple[Exit, str]:
        with pytest.raises(Failure) as caught:
            load(path)
        return caught.value.exit, str(caught.value).replace(str(path), "F")

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


# The authors' nets


@pytest.mark.parametrize(("path", "layers"), [(RESNET50, 228), (RESNET101, 449)])
@pytest.mark.parametrize("ignore_names", [False, True])
def test_the_authors_nets_are_themselves(path: Path, layers: int, ignore_names: bool) -> None:
    assert compare(load(path), load(path), ignore_names).render() == f"equal: {layers} layers, 0 differences"


def test_the_authors_nets_against_each_other() -> None:
    a, b = load(RESNET50), load(RESNET101)
    by_name = compare(a, b).render().splitlines()
    assert by_name[:4] == [
        "net",
        f'  name: "ResNet-50" ({RESNET50}:1) -> "ResNet-101" ({RESNET101}:1)',
        "layer conv1 (Convolution)",
        f"  convolution_param.bias_term: true ({RESNET50}:8, default) -> false ({RESNET101}:18)",
    ]
    counts = "1 of the net's fields, 5 layers differ, 104 only in A, 325 only in B, 119 equal"
    assert by_name[-2:] == [counts, "hint: many names differ; --ignore-names matches layers by structure"]
    # By structure 101 is 50 with 17 blocks of 13 layers more; the block after them reads another.
    by_structure = compare(a, b, ignore_names=True)
    assert [layer.a.name for layer in by_structure.layers] == ["conv1", "res4b_branch2a", "res4b"]
    assert by_structure.render().splitlines()[-1] == "3 layers differ, 0 only in A, 221 only in B, 225 equal"


@pytest.mark.parametrize("shuffled", [False, True], ids=["other names", "the same names on other layers"])
@pytest.mark.parametrize("seed", range(3))
def test_one_stride_among_other_names_in_another_order(seed: int, shuffled: bool) -> None:
    rng = random.Random(seed)
    net = load(RESNET50)
    assert compare(net, disguised(net, rng, shuffled), ignore_names=True).equal
    convolutions = [at for at, record in enumerate(net.records) if record.type == "Convolution"]
    for at in rng.sample(convolutions, 8):
        changed = changed_at(net, at, "convolution_param.stride", 3)
        difference = compare(net, disguised(changed, rng, shuffled), ignore_names=True)
        assert [layer.a.name for layer in difference.layers] == [net.records[at].name]
        assert [field.path for field in difference.layers[0].fields] == ["convolution_param.stride"]
        assert difference.render().splitlines()[-1] == "1 layer differs, 0 only in A, 0 only in B, 227 equal"


def test_a_removed_layer_among_other_names() -> None:
    net = load(RESNET50)
    for name in ("res3b_relu", "scale4a_branch1", "conv1_relu"):
        at = next(at for at, record in enumerate(net.records) if record.name == name)
        difference = compare(net, disguised(without(net, at), random.Random(4)), ignore_names=True)
        assert [only.record.name for only in difference.only_a] == [name]
        assert not difference.only_b
        # What read it now reads what it read.
        assert {field.path.partition("[")[0] for layer in difference.layers for field in layer.fields} == {"bottom"}


def without(net: Net, gone: int) -> Net:
    """The net without a record of one input, whose readers then read that."""
    (source,) = net.records[gone].inputs
    records = []
    for at, record in enumerate(net.records):
        inputs = (source if producer == gone else (producer, index) for producer, index in record.inputs)
        moved = tuple((producer - (producer > gone), index) for producer, index in inputs)
        if at != gone:
            records.append(replace(record, inputs=moved))
    return replace(net, records=tuple(records))


def disguised(net: Net, rng: random.Random, shuffled: bool = False) -> Net:
    """The same net under other names, or its names dealt anew, in another order, sums with other orders of bottoms."""
    names = [record.name for record in net.records] if shuffled else [f"n{at}" for at in range(len(net.records))]
    rng.shuffle(names)
    order = random_order([[producer for producer, _ in record.inputs] for record in net.records], rng)
    place = {at: new for new, at in enumerate(order)}
    records = []
    for at in order:
        record = net.records[at]
        inputs = [(place[producer], index) for producer, index in record.inputs]
        if record.commutative:
            rng.shuffle(inputs)
        records.append(replace(record, name=names[at], inputs=tuple(inputs)))
    return replace(net, source="b.prototxt", name="disguised", records=tuple(records))


def random_order(inputs: list[list[int]], rng: random.Random) -> list[int]:
    """A random order in which everything comes after its inputs."""
    waiting = [len(set(above)) for above in inputs]
    ready = [at for at, count in enumerate(waiting) if not count]
    order = []
    while ready:
        order.append(ready.pop(rng.randrange(len(ready))))
        for at, above in enumerate(inputs):
            if order[-1] in above:
                waiting[at] -= 1
                if not waiting[at]:
                    ready.append(at)
    return order


# Random nets, written in random ways


class Plan:
    """A random net: for each layer its type, its settings as (path, value), and which layers it reads; -1 the input."""

    def __init__(self, rng: random.Random) -> None:
        self.layers: list[tuple[str, dict[str, int], list[int]]] = []
        for at in range(rng.randrange(3, 25)):
            kind = rng.choice(["Convolution", "Pooling", "ReLU", "Eltwise", "Concat", "Custom"])
            count = rng.randrange(2, 4) if kind in ("Eltwise", "Concat") else 1
            reads = [rng.randrange(max(-1, at - 4), at) for _ in range(count)]
            self.layers.append((kind, self.settings(kind, rng), reads))

    @staticmethod
    def settings(kind: str, rng: random.Random) -> dict[str, int]:
        if kind == "Convolution":
            return {"num_output": rng.randrange(1, 4), "kernel_size": rng.choice([1, 3]), "stride": rng.choice([1, 2])}
        if kind == "Pooling":
            return {"kernel_size": 2, "stride": rng.choice([1, 2]), "pad": rng.choice([0, 1])}
        if kind == "Eltwise":
            return {"operation": rng.randrange(3)}
        return {"slope": rng.choice([0, 1])} if kind == "Custom" else {}

    def changed(self, rng: random.Random) -> Plan:
        """This net with one setting of one layer changed, where any has one."""
        plan = Plan.__new__(Plan)
        plan.layers = list(self.layers)
        at = rng.choice([at for at, (_, settings, _) in enumerate(self.layers) if settings])
        kind, settings, reads = plan.layers[at]
        path = rng.choice(list(settings))
        value = (settings[path] + 1) % 3 if path == "operation" else settings[path] + 4
        plan.layers[at] = (kind, {**settings, path: value}, reads)
        return plan

    def written(self, rng: random.Random, renamed: bool) -> Net:
        """A prototxt of this net: layers and fields in random order, in place or not, settings in any form."""
        order = random_order([[above for above in reads if above >= 0] for *_, reads in self.layers], rng)
        name = {at: f"{rng.randrange(10**9)}" if renamed else f"layer{at}" for at in order}
        blob = {-1: "input"}
        lines = [HEAD.replace('"data"', '"input"')]
        for done, at in enumerate(order):
            kind, settings, reads = self.layers[at]
            bottoms = [f'bottom: "{blob[above]}"' for above in reads]
            if kind == "Eltwise":
                rng.shuffle(bottoms)
            read_later = {above for later in order[done + 1 :] for above in self.layers[later][2]}
            in_place = len(reads) == 1 and reads[0] not in read_later and rng.random() < 0.5
            blob[at] = blob[reads[0]] if in_place else f"{name[at]}-blob"
            fields = [" ".join(bottoms), f'top: "{blob[at]}"', f'name: "{name[at]}"', f'type: "{kind}"']
            fields.append(self.params(kind, settings, rng))
            rng.shuffle(fields)
            lines.append(f"layer {{ {' '.join(fields)} }}\n")
        return parse("".join(lines))

    @staticmethod
    def params(kind: str, settings: dict[str, int], rng: random.Random) -> str:
        said = []
        for path, value in settings.items():
            ways = [f"{path}: {value}"]
            if path in ("kernel_size", "stride", "pad"):
                stem = path.removesuffix("_size")
                ways.append(f"{stem}_h: {value} {stem}_w: {value}")
                if kind == "Convolution":
                    ways.append(f"{path}: [{value}, {value}]")
            if (path, value) in (("stride", 1), ("pad", 0), ("operation", 1)):
                ways.append("")
            said.append(rng.choice(ways))
        rng.shuffle(said)
        return f"{kind.lower()}_param {{ {' '.join(said)} }}" if settings else ""


@pytest.mark.parametrize("seed", range(60))
def test_random_nets(seed: int) -> None:
    rng = random.Random(seed)
    plan = Plan(rng)
    net = plan.written(rng, renamed=False)
    assert compare(net, plan.written(rng, renamed=False)).equal
    assert compare(net, plan.written(rng, renamed=False), ignore_names=True).equal
    assert compare(net, plan.written(rng, renamed=True), ignore_names=True).equal
    if any(settings for _, settings, _ in plan.layers):
        changed = plan.changed(rng)
        assert len(compare(net, changed.written(rng, renamed=False)).layers) == 1
        assert not compare(net, changed.written(rng, renamed=True), ignore_names=True).equal


# Nets that come from elsewhere


def test_records_need_no_prototxt() -> None:
    data = Record("data", "Input", {"shape": (1, 3, 8, 8)})
    conv = Record("x", "Convolution", {"convolution_param.num_output": 8, "convolution_param.stride": 1}, ((0, 0),))
    net = Net("spec.yaml", "n", (data, conv))
    read = parse(HEAD + layer("Convolution", "convolution_param { num_output: 8 }"), "b.prototxt")
    assert compare(net, read).equal
    assert compare(net, read, ignore_names=True).equal
    other = replace(net, records=(data, replace(conv, attributes={"convolution_param.num_output": 4})))
    expected = """\
layer x (Convolution)
  convolution_param.num_output: 4 (spec.yaml) -> 8 (b.prototxt:2)
1 layer differs, 0 only in A, 0 only in B, 0 equal"""
    assert compare(other, read).render() == expected
    spec = Source("spec.yaml", "\n\nconv")
    placed = other.placed({"x": Span(spec, 2, 6)})
    assert str(compare(placed, read).layers[0].fields[0]) == (
        "convolution_param.num_output: 4 (spec.yaml:3) -> 8 (b.prototxt:2)"
    )
    # Reals are float32, as in Caffe, and NaN is NaN.
    norm = Record("x", "BatchNorm", {"batch_norm_param.eps": 0.1, "novel": float("nan")}, ((0, 0),))
    assert norm.attributes == {"batch_norm_param.eps": 0.10000000149011612, "novel": Word("nan")}
    with pytest.raises(ValueError, match="x reads output 1 of record 0"):
        Net("spec.yaml", "n", (data, replace(conv, inputs=((0, 1),))))


# Symmetry


def test_choices_among_equals_are_carried_along() -> None:
    """Two towers that are the same: which convolution is which follows from what joins them."""
    towers = "".join(
        layer("Convolution", "", "data", f"a{i}") + layer("TanH", "", "data", f"b{i}") for i in range(6)
    ) + "".join(layer("Concat", "", f"a{i} b{i}", f"c{i}") for i in range(6))
    net = parse(HEAD + towers + layer("Eltwise", "", " ".join(f"c{i}" for i in range(6)), "sum"))
    for seed in range(20):
        assert compare(net, disguised(net, random.Random(seed)), ignore_names=True).equal
    crossed = towers.replace('bottom: "a0" bottom: "b0"', 'bottom: "a1" bottom: "b0"')
    other = parse(HEAD + crossed + layer("Eltwise", "", " ".join(f"c{i}" for i in range(6)), "sum"))
    assert not compare(net, disguised(other, random.Random(1)), ignore_names=True).equal
