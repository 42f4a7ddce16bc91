"""Comparison of prototxts by meaning: what is read, what is the same, what differs, and how it is said."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from resnetgen.comparison import Net, Record, Word, compare, load, parse
from resnetgen.errors import Source, Span
from resnetgen.formats.caffe.model.schema import message
from support.places import DATA
from support.prototxts import HEAD, differs, layer

PROTOTXTS = DATA / "diff"

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
