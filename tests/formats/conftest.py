"""Files of a small network, unchanged."""

from __future__ import annotations

import pytest

from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.graph import Graph
from support.helpers import (
    CaffeModel,
    OnnxModel,
    compile_text,
    random_weights,
    write_caffe,
    write_onnx,
)
from support.translation import NET


@pytest.fixture(scope="module")
def net() -> Graph:
    return compile_text(NET)


@pytest.fixture(scope="module")
def model(net: Graph, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    options = OnnxOptions(metadata={"seed": "0"})
    return write_onnx(net, random_weights(net), tmp_path_factory.mktemp("onnx"), options)


@pytest.fixture(scope="module")
def external(net: Graph, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    return write_onnx(net, random_weights(net), tmp_path_factory.mktemp("external"), limit=1000)


@pytest.fixture(scope="module")
def caffe(net: Graph, tmp_path_factory: pytest.TempPathFactory) -> CaffeModel:
    return write_caffe(net, random_weights(net), tmp_path_factory.mktemp("caffe"))
