"""diff: values of fields at the edges of their types, and nets that are messages."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.comparison import compare, parse
from resnetgen.comparison.prototxt import of_model
from resnetgen.errors import Failure
from resnetgen.formats.caffe.model.read import of_message
from resnetgen.formats.caffe.model.schema import known_fields, message

HEAD = 'name: "n" input: "data" input_shape { dim: [1, 3, 8, 8] }\n'


def net(params: str, kind: str = "Convolution") -> str:
    return f'{HEAD}layer {{ name: "x" type: "{kind}" bottom: "data" top: "x" {params} }}\n'


def refused(text: str) -> tuple[Exit, str, str]:
    with pytest.raises(Failure) as caught:
        parse(text, "net.prototxt")
    (problem,) = caught.value.problems
    return exit_code(caught.value), problem.message, problem.hint


NUMBERS = {
    "axis": (-(2**31), 2**31 - 1),
    "num_output": (0, 2**32 - 1),
}
"""Fields of a convolution: an int32, a uint32."""


@pytest.mark.parametrize("field", NUMBERS)
def test_the_largest_and_the_smallest_number_of_a_field(field: str) -> None:
    low, high = NUMBERS[field]
    for number in (low, high):
        text = net(f"convolution_param {{ {field}: {number} }}")
        text_format.Parse(text, message("NetParameter")())  # protobuf takes them, too
        assert compare(parse(text, "a"), parse(text, "b")).equal
    for number in (low - 1, high + 1):
        text = net(f"convolution_param {{ {field}: {number} }}")
        with pytest.raises(text_format.ParseError):
            text_format.Parse(text, message("NetParameter")())
        assert refused(text)[0] is Exit.MODEL


def test_the_ranges_of_the_integers() -> None:
    assert known_fields("ConvolutionParameter")["axis"].limits == (-2147483648, 2147483647)
    assert known_fields("ConvolutionParameter")["num_output"].limits == (0, 4294967295)
    assert known_fields("BlobShape")["dim"].limits == (-9223372036854775808, 9223372036854775807)
    assert known_fields("ConvolutionParameter")["bias_term"].limits == (0, 0)


@pytest.mark.parametrize("flag", ["true", "True", "t", "1", "false", "False", "f", "0"])
def test_the_words_of_a_flag(flag: str) -> None:
    """Those of protobuf's text format."""
    value = flag.lower() in ("true", "t", "1")
    text = net(f"convolution_param {{ num_output: 4 bias_term: {flag} }}")
    assert text_format.Parse(text, message("NetParameter")()).layer[0].convolution_param.bias_term is value
    said = "true" if value else "false"
    other = "false" if value else "true"
    assert compare(parse(text), parse(text.replace(f"bias_term: {flag}", f"bias_term: {said}"))).equal
    assert not compare(parse(text), parse(text.replace(f"bias_term: {flag}", f"bias_term: {other}"))).equal


@pytest.mark.parametrize("flag", ["TRUE", "yes", "2", '"true"', "tRUE"])
def test_other_words_are_no_flag(flag: str) -> None:
    assert refused(net(f"convolution_param {{ bias_term: {flag} }}"))[0] is Exit.MODEL


def test_a_shape_without_an_input() -> None:
    exit, said, hint = refused(net("").replace('input: "data" ', ""))
    assert (exit, said, hint) == (Exit.MODEL, "a shape without an input", 'input: "data" is missing')


@pytest.mark.parametrize("field", ["include", "exclude"])
def test_a_rule_that_is_no_message(field: str) -> None:
    exit, said, _ = refused(net(f"{field}: 3"))
    assert (exit, said) == (Exit.MODEL, f"{field} takes a message")


PARAMS = [
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: [3, 5] bias_term: false weight_filler { type: 'xavier' } }",
    ),
    ("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 round_mode: FLOOR }"),
    ("BatchNorm", "batch_norm_param { use_global_stats: true eps: 0.001 }"),
    ("Eltwise", "eltwise_param { operation: SUM coeff: [0.5, 2] }"),
    ("LRN", "lrn_param { local_size: 5 alpha: 1e-4 }"),
]


@pytest.mark.parametrize(("kind", "params"), PARAMS)
def test_a_net_as_a_message_is_its_text(kind: str, params: str) -> None:
    """Words, flags, numbers, texts and messages in one another: a message says what its text does, and no more."""
    text = net(params, kind)
    parsed = text_format.Parse(text, message("NetParameter")())
    assert compare(parse(text), of_model(of_message(parsed, "net.caffemodel"))).equal
    for change in (
        ("num_output: 4", "num_output: 5"),
        ("AVE", "MAX"),
        ("true", "false"),
        ("0.5", "0.25"),
        ("1e-4", "1e-3"),
    ):
        if change[0] in params:
            other = text_format.Parse(text.replace(*change), message("NetParameter")())
            assert not compare(parse(text), of_model(of_message(other, "net.caffemodel"))).equal


@pytest.mark.parametrize(
    ("params", "kind", "said"),
    [
        (
            "convolution_param { num_output: 1.5 }",
            "Convolution",
            "num_output takes a whole number from 0 to 4294967295, not 1.5",
        ),
        ("convolution_param { bias_term: 3 }", "Convolution", "bias_term takes true or false, not 3"),
        ('batch_norm_param { eps: "x" }', "BatchNorm", 'eps takes a number, not "x"'),
        ('pooling_param { pool: "MAX" }', "Pooling", 'pool takes a word, not "MAX"'),
        ("top: 3", "ReLU", "top takes a string, not 3"),
    ],
)
def test_values_of_another_type(params: str, kind: str, said: str) -> None:
    exit, message, _ = refused(net(params, kind))
    assert (exit, message) == (Exit.MODEL, said)


@pytest.mark.parametrize(
    ("written", "number"), [("010", 8), ("0x10", 16), ("0X1f", 31), ("0", 0), ("00", 0), ("10", 10)]
)
def test_integers_of_other_bases(written: str, number: int) -> None:
    """As protobuf reads them."""
    text = net(f"convolution_param {{ num_output: {written} }}")
    assert text_format.Parse(text, message("NetParameter")()).layer[0].convolution_param.num_output == number
    assert compare(parse(text), parse(net(f"convolution_param {{ num_output: {number} }}"))).equal
    assert not compare(parse(text), parse(net(f"convolution_param {{ num_output: {number + 2} }}"))).equal


@pytest.mark.parametrize("written", ["08", "0x", "1_0", "0b1"])
def test_what_is_no_integer(written: str) -> None:
    assert refused(net(f"convolution_param {{ num_output: {written} }}"))[0] is Exit.MODEL


def test_layers_are_told_apart_by_a_string_alone() -> None:
    """Two branches that differ in one text are matched by it, whatever their names and their order."""

    def branches(*modules: str) -> str:
        layers = "".join(
            f'layer {{ name: "{place}" type: "Python" bottom: "data" top: "{place}"'
            f' python_param {{ module: "{module}" }} }}\n'
            for place, module in enumerate(modules)
        )
        return f'{HEAD}{layers}layer {{ name: "sum" type: "Eltwise" bottom: "0" bottom: "1" top: "sum" }}\n'

    one = parse(branches("m", "n"))
    assert compare(one, parse(branches("n", "m")), ignore_names=True).equal
    assert not compare(one, parse(branches("n", "n")), ignore_names=True).equal
