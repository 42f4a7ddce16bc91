"""Caffe nets as they stand: any input, phases, blobs written in place, and layers of the layout of 2014."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.comparison import compare, parse
from resnetgen.errors import Failure, Source
from resnetgen.formats.caffe.model.layers import CaffeStructure
from resnetgen.formats.caffe.model.read import of_message
from resnetgen.formats.caffe.model.read import parse as parse_model
from resnetgen.formats.caffe.model.schema import message
from resnetgen.formats.caffe.model.upgrade import name_of_today
from resnetgen.formats.values import Word
from support.places import DATA as FILES

DATA = 'input: "data" input_dim: [2, 3, 8, 9]\n'
RELU = 'layer { name: "r" type: "ReLU" bottom: "data" top: "data" }\n'


def model(text: str) -> CaffeStructure:
    return parse_model(Source("net.prototxt", text))


def refusal(text: str) -> str:
    with pytest.raises(Failure) as caught:
        model(text)
    assert exit_code(caught.value) is Exit.MODEL
    return caught.value.problems[0].message


@pytest.mark.parametrize(
    "written",
    [
        DATA,
        'input: "data" input_shape { dim: [2, 3, 8, 9] }',
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 9 } } }',
    ],
)
def test_inputs_are_read_alike(written: str) -> None:
    read = model(written + RELU)
    assert [(layer.name, layer.type) for layer in read.layers] == [("data", "Input"), ("r", "ReLU")]
    assert read.image == (2, 3, 8, 9)


def test_the_image_of_other_nets_is_unknown() -> None:
    assert model('input: "data"' + RELU).image == ()
    assert model('input: "data" input: "more" input_dim: [1, 3, 8, 8, 1, 3, 8, 8]' + RELU).image == ()


def test_a_blob_written_in_place_is_the_last_layer_that_wrote_it() -> None:
    pooling = 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 2 } }\n'
    read = model(DATA + RELU + RELU.replace('"r"', '"q"') + pooling)
    assert [layer.inputs for layer in read.layers] == [(), ((0, 0),), ((1, 0),), ((2, 0),)]
    assert read.outputs == ((3, 0),)


def test_parameters_have_caffe_s_defaults() -> None:
    """Those of the schema, and those that are in Caffe's code alone."""
    read = model(
        DATA
        + 'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_h: 3'
        " kernel_w: 1 } param { lr_mult: 0 } param { lr_mult: 0 } }\n"
        + 'layer { name: "n" type: "BatchNorm" bottom: "c" top: "c" param { lr_mult: 0 } param { } }\n'
        + 'layer { name: "p" type: "Pooling" bottom: "c" top: "p" }\n'
    )
    _, conv, norm, pool = read.layers
    assert [conv[name] for name in ("kernel_size", "stride", "pad", "dilation", "group", "bias_term")] == [
        (3, 1), 1, 0, 1, 1, True,
    ]  # fmt: skip
    assert (norm["use_global_stats"], norm["eps"]) == (True, pytest.approx(1e-5))
    assert (pool["pool"], pool["kernel_size"], pool["round_mode"]) == (Word("MAX"), None, Word("CEIL"))
    assert (conv.is_frozen, norm.is_frozen, pool.is_frozen) == (True, False, False)


V1 = """
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" param: "w" param: "b" blobs_lr: 1 blobs_lr: 2
  weight_decay: 1 convolution_param { num_output: 4 kernel_size: 3 } }
layers { name: "l" type: DATA top: "label" include { phase: TRAIN } }
layers { name: "r" type: 18 bottom: "c" top: "c" include { phase: TEST } }
layers { name: "s" type: SOFTMAX_LOSS bottom: "c" bottom: "c" top: "s" loss_weight: 1 }
"""
TODAY = """
layer { name: "c" type: "Convolution" bottom: "data" top: "c" param { name: "w" } param { name: "b" }
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "s" type: "SoftmaxWithLoss" bottom: "c" bottom: "c" top: "s" }
"""


def test_layers_of_2014_are_read_as_those_of_today() -> None:
    assert compare(parse(DATA + V1), parse(DATA + TODAY)).render() == "equal: 3 layers, 0 differences"
    other = TODAY.replace("ReLU", "TanH")
    assert not compare(parse(DATA + V1), parse(DATA + other)).equal
    frozen = model(DATA + V1.replace("blobs_lr: 1 blobs_lr: 2", "blobs_lr: 0 blobs_lr: 0"))
    assert (model(DATA + V1).layers[1].is_frozen, frozen.layers[1].is_frozen) == (False, True)


def test_a_message_of_2014_is_its_text() -> None:
    read = of_message(text_format.Parse(DATA + V1, message("NetParameter")()), "net.caffemodel")
    assert [(one.name, one.type, one.inputs) for one in read.layers] == [
        (one.name, one.type, one.inputs) for one in model(DATA + V1).layers
    ]


def test_every_type_of_2014_has_its_name_of_today() -> None:
    words = message("V1LayerParameter").DESCRIPTOR.enum_types_by_name["LayerType"].values_by_name
    assert [word for word in words if not name_of_today(word)] == ["NONE"]
    assert (name_of_today("HDF5_DATA"), name_of_today("SOFTMAX_LOSS")) == ("HDF5Data", "SoftmaxWithLoss")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('layers { name: "x" type: MAGIC bottom: "data" top: "x" }', "no type of a V1 layer is called MAGIC"),
        ('layers { name: "x" bottom: "data" top: "x" }', "the layer x has no type"),
        ("layers: 3", "layers takes a message"),
        ('layers { layer { name: "x" type: "relu" } bottom: "data" top: "x" }', "a layer of Caffe's layout of 2013"),
        (RELU + V1, "a net of both `layer` and `layers`"),
    ],
)
def test_layers_that_are_refused(text: str, reason: str) -> None:
    assert refusal(DATA + text) == reason


def test_the_v1_file_of_the_tests_is_read() -> None:
    path = FILES / "diff" / "v1.prototxt"
    assert [layer.type for layer in model(path.read_text()).layers] == ["Input", "ReLU"]


def test_fields_that_the_schema_lacks_are_known_with_their_places() -> None:
    read = model(
        DATA + 'colour: 1\nlayer { name: "r" type: "ReLU" bottom: "data" top: "r" relu_param { engine: 1\nleak: 2 } }'
    )
    assert [(path, span and span.line) for path, span in read.unknown()] == [("colour", 2), ("relu_param.leak", 4)]
    assert not [*model(DATA + RELU).unknown()]
