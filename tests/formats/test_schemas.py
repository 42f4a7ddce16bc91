"""The formats' schemas: what is kept here must be what the formats' owners say."""

from __future__ import annotations

import csv
import subprocess
import sys

import onnx
import pytest
from onnx import helper

from resnetgen.formats.caffe.model import schema as caffe
from resnetgen.formats.onnx.lower import MAX_OPSET, MIN_OPSET, ir_version
from resnetgen.formats.onnx.model import schema as onnx_schema
from support.places import DATA

# Field numbers, types and defaults of Caffe's messages, as BVLC's caffe.proto has them.
FIELDS = DATA / "caffe_fields.csv"


def test_caffe_fields_are_caffes() -> None:
    with FIELDS.open() as file:
        published = {
            (row["message"], row["field"]): (int(row["number"]), row["default"])
            for row in csv.DictReader(file)
            if row["label"] != "enum value"
        }
    checked = 0
    for name in {message for message, _ in published}:
        try:
            descriptor = caffe.message(name).DESCRIPTOR
        except KeyError:
            continue  # a message that we have no use for
        for field in descriptor.fields:
            number, default = published[name, field.name]
            assert field.number == number
            if default and field.enum_type:
                assert field.enum_type.values_by_number[field.default_value].name == default
            elif default:
                expected = _parsed(default)
                assert field.default_value == (expected if isinstance(expected, str) else pytest.approx(expected))
            checked += 1
    assert checked > 200


def _parsed(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text or "e-" in text else int(text)
    except ValueError:
        return text


def test_messages_are_those_of_the_onnx_package() -> None:
    for name in onnx_schema.__all__:
        assert getattr(onnx_schema, name) is getattr(onnx, name)


def test_messages_come_without_the_package() -> None:
    code = (
        "import sys; from resnetgen.formats.onnx.model.schema import ModelProto; assert 'onnx' not in sys.modules;"
        "import onnx; assert onnx.ModelProto is ModelProto; onnx.checker.check_model"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("opset", range(MIN_OPSET, min(MAX_OPSET, onnx.defs.onnx_opset_version()) + 1))
def test_ir_version_is_the_oldest_that_knows_the_opset(opset: int) -> None:
    assert ir_version(opset) == max(4, helper.find_min_ir_version_for([helper.make_opsetid("", opset)]))
