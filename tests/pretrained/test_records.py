"""Weight files that describe a network: one that is built otherwise than the spec is never taken without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from resnetgen.build.options import Options
from resnetgen.build.run import build
from resnetgen.errors import Failure
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.model.schema import message
from resnetgen.formats.onnx.precision import Precision
from resnetgen.formats.onnx.write import OnnxOptions
from resnetgen.ir.graph import Graph
from resnetgen.network import compile_spec
from resnetgen.precision.precision_options import TOLERANCES, PrecisionOptions
from resnetgen.pretrained.pretrained import CheckpointSource, load_pretrained
from resnetgen.weights.draw import keys
from resnetgen.weights.source import Array, WeightSource
from support.helpers import Run, write_caffe, write_onnx

SPECS = [
    "resnet18",
    "resnet20_cifar",
    "resnet50",
    "resnet56_cifar",
    "torchvision/resnet18",
    "torchvision/resnext50_32x4d",
    "timm/ecaresnet26t",
    "timm/resnet10t",
    "timm/resnet26d",
    "timm/resnet50_gn",
    "timm/resnetblur18",
    "timm/seresnet18",
    "timm/test_resnet",
]
NET = """
use: std
name: tiny
input: 3x17x17
defaults: {act: relu, norm: batchnorm eps=1e-5, bracket: {merge: add}}
stages:
  conv1: 3x3, 4
  pool: maxpool 3x3, /2
  conv2_x: "[3x3, 4; 3x3, 4] x2"
  head: gap | fc 4
"""
OTHERS = {
    "act: relu": ("act: sigmoid", "act: leakyrelu 0.1", "act: silu"),
    "merge: add": ("merge: mul",),
    "maxpool 3x3, /2": ("avgpool 3x3, /2", "maxpool 3x3, /2, p=1", "maxpool 3x3, /1", "maxpool 2x2, /2"),
    "eps=1e-5": ("eps=1e-3",),
    "; 3x3, 4]": ("; 3x3, 4, d=2]",),
    "gap |": ("maxpool 8x8 |", "relu | gap |"),
    "fc 4": ("fc 4 | sigmoid",),
    "conv1: 3x3, 4": ("conv1: 3x3, 4 | relu",),
}
"""Words of NET -> what makes another network of them, whose weights have the same names and shapes."""


class Ones:
    """Weights that cost nothing to draw."""

    def __init__(self, graph: Graph) -> None:
        self._shapes = keys(graph)

    def tensor(self, node: str, parameter: str) -> Array:
        return np.ones(self._shapes[node, parameter], np.float32)


def warnings(path: Path, word: str, **source: Any) -> tuple[str, ...]:
    network = compile_spec(word)
    weights: WeightSource = Ones(network.graph)
    return load_pretrained(CheckpointSource(path, **source), network.spec, network.graph, weights).warnings


# Nothing is said of a file that was built from the spec


SMALL = ("resnet20_cifar", "timm/test_resnet")
"""The others take seconds each."""


@pytest.mark.parametrize("word", [pytest.param(w, marks=() if w in SMALL else pytest.mark.zoo) for w in SPECS])
def test_an_own_model_is_taken_in_silence(word: str, tmp_path: Path) -> None:
    network = compile_spec(word)
    for opset in (13, 17, 21):
        model = write_onnx(network.graph, Ones(network.graph), tmp_path, OnnxOptions(opset=opset))
        assert warnings(model.path, word) == ()
    outside = write_onnx(network.graph, Ones(network.graph), tmp_path, OnnxOptions(external=True))
    assert warnings(outside.path, word) == ()
    for dialect in Dialect:
        try:
            caffe = write_caffe(network.graph, Ones(network.graph), tmp_path, network.names, dialect=dialect)
        except Failure:
            continue  # the dialect lacks an op
        assert warnings(caffe.caffemodel, word) == ()


def test_a_model_with_its_preprocessing_or_in_fp16_is_taken_in_silence(tmp_path: Path) -> None:
    embedded = Options(embed_preprocess=True, fold=False, output_dir=tmp_path / "a")
    (built,) = build(["resnet20_cifar"], embedded)
    assert warnings(onnx_of(built.files), "resnet20_cifar") == ()
    plain = NET.replace("norm: batchnorm eps=1e-5", "unit: [conv, act]").replace(
        "merge: add", "merge: add, last: [conv]"
    )
    word = spec(tmp_path, plain.replace("3x3, 4", "3x3, 4, bias"))
    lowering = PrecisionOptions(Precision.FP16, TOLERANCES[Precision.FP16])
    (built,) = build([word], Options(precision=lowering, output_dir=tmp_path / "b"))
    assert warnings(onnx_of(built.files), word) == ()


def test_another_size_of_image_is_no_other_network(tmp_path: Path) -> None:
    """Sizes of outputs, of a blur and of the groups of a group norm follow from that of the image."""
    for words, others in (
        ("", ""),
        ("maxpool 3x3", "blurpool /2 | maxpool 3x3"),
        ("batchnorm eps=1e-5", "groupnorm 2"),
    ):
        word = spec(tmp_path, NET.replace(words, others))
        network = compile_spec(word, input_size="3x33x21")
        model = write_onnx(network.graph, Ones(network.graph), tmp_path)
        assert warnings(model.path, word) == ()
        caffe = write_caffe(network.graph, Ones(network.graph), tmp_path, network.names)
        assert warnings(caffe.caffemodel, word) == ()


def onnx_of(files: Any) -> Path:
    return next(path for path in files if path.suffix == ".onnx")


def spec(folder: Path, text: str) -> str:
    path = folder / f"spec{len(list(folder.glob('*.yaml')))}.yaml"
    path.write_text(text)
    return str(path)


# A network that is built otherwise is named, from whichever of the two formats it comes


@pytest.mark.parametrize("format", ["onnx", "caffemodel"])
@pytest.mark.parametrize(("words", "others"), [(a, b) for a, others in OTHERS.items() for b in others])
def test_another_network_is_named(words: str, others: str, format: str, tmp_path: Path) -> None:
    """Every shape agrees."""
    own, other = spec(tmp_path, NET), spec(tmp_path, NET.replace(words, others))
    for word, target in ((own, other), (other, own)):
        network = compile_spec(word)
        if format == "onnx":
            path = write_onnx(network.graph, Ones(network.graph), tmp_path).path
        else:
            path = write_caffe(network.graph, Ones(network.graph), tmp_path, network.names).caffemodel
        assert warnings(path, word) == ()
        (first, *_) = warnings(path, target)
        assert first.startswith(f"{path.name} was built otherwise: ")


@pytest.mark.parametrize(
    ("words", "others", "said"),
    [
        ("act: relu", "act: sigmoid", "conv1/act1 (spec0.yaml:7): Sigmoid there, {} in the spec"),
        ("merge: add", "merge: mul", "conv2_x/0/add (spec0.yaml:9): {}"),
    ],
)
def test_the_warning_names_the_layer_and_both_sides(words: str, others: str, said: str, tmp_path: Path) -> None:
    own, other = spec(tmp_path, NET), spec(tmp_path, NET.replace(words, others))
    graph = compile_spec(other).graph
    by_onnx = warnings(write_onnx(graph, Ones(graph), tmp_path).path, own)
    by_caffe = warnings(write_caffe(graph, Ones(graph), tmp_path).caffemodel, own)
    is_merge = words.startswith("merge")
    kinds = ("Mul there, Add in the spec", "operation PROD there, SUM in the spec") if is_merge else ("Relu", "ReLU")
    for found, kind in ((by_onnx, kinds[0]), (by_caffe, kinds[1])):
        assert found[0].endswith(f" was built otherwise: {said.format(kind)}")


def test_the_stem_of_another_resnet18(run: Run, tmp_path: Path) -> None:
    """Its outputs are 0.96 apart."""
    assert run("build", "resnet18", "--no-fold", "--output-dir", "first").code == 0
    done = run("build", "torchvision/resnet18", "--weights", "first/resnet18/resnet18.onnx")
    assert done.code == 0
    place = "resnet18.onnx was built otherwise: conv2_x/maxpool (resnet34.yaml:7): "
    assert f"warning: {place}rounding up there, down in the spec; pad 0 there, 1 in the spec\n" in done.err


def test_a_stage_that_is_drawn_anew_does_not_count(tmp_path: Path) -> None:
    own, other = spec(tmp_path, NET), spec(tmp_path, NET.replace("gap | fc 4", "maxpool 8x8 | fc 7 | sigmoid"))
    graph = compile_spec(other).graph
    for path in (write_onnx(graph, Ones(graph), tmp_path).path, write_caffe(graph, Ones(graph), tmp_path).caffemodel):
        assert warnings(path, own, reinit=("head",)) == ()
    other = spec(tmp_path, NET.replace("gap | fc 4", "gap | fc 7").replace("act: relu", "act: sigmoid"))
    graph = compile_spec(other).graph
    assert "Sigmoid" in warnings(write_onnx(graph, Ones(graph), tmp_path).path, own, reinit=("head",))[0]


# Files of others


def trained(net: Any) -> Any:
    """A net as Caffe writes it while it trains: with its data and its loss, and what several layers read split."""
    data = message("LayerParameter")(name="data", type="Data", top=["data", "label"], phase=0)
    data.include.add(phase=0)
    made = message("NetParameter")(name=net.name, layer=[data])
    for layer in net.layer:
        made.layer.add().CopyFrom(layer)
        made.layer[-1].phase = 0
        if layer.type == "Convolution":
            split = made.layer.add(name=f"{layer.name}_split", type="Split", bottom=layer.top, top=[f"{layer.name}_0"])
            split.top.append(f"{layer.name}_1")
            dropout = made.layer.add(name=f"{layer.name}_drop", type="Dropout", bottom=split.top[:1], top=layer.top)
            dropout.phase = 0
    made.layer.add(name="loss", type="SoftmaxWithLoss", bottom=[net.layer[-1].top[0], "label"], top=["loss"])
    made.layer.add(name="accuracy", type="Accuracy", bottom=[net.layer[-1].top[0], "label"], top=["accuracy"])
    return made


def caffemodel(path: Path) -> Any:
    return message("NetParameter").FromString(path.read_bytes())


def test_a_net_that_was_trained_is_the_one_that_is_deployed(tmp_path: Path) -> None:
    own = spec(tmp_path, NET)
    graph = compile_spec(own).graph
    path = write_caffe(graph, Ones(graph), tmp_path).caffemodel
    net = trained(caffemodel(path))
    for layer in net.layer:
        if layer.type == "BatchNorm":
            layer.batch_norm_param.use_global_stats = False
    path.write_bytes(net.SerializeToString())
    assert warnings(path, own) == ()
    next(layer for layer in net.layer if layer.type == "ReLU").type = "TanH"
    path.write_bytes(net.SerializeToString())
    assert warnings(path, own)[0].endswith("conv1/act1 (spec0.yaml:7): TanH there, ReLU in the spec")


def test_a_caffemodel_stripped_to_its_blobs_says_nothing(tmp_path: Path) -> None:
    own = spec(tmp_path, NET)
    graph = compile_spec(own).graph
    path = write_caffe(graph, Ones(graph), tmp_path).caffemodel
    net = caffemodel(path)
    for layer in net.layer:
        for field in ("bottom", "top", "convolution_param", "pooling_param", "scale_param"):
            layer.ClearField(field)
    path.write_bytes(net.SerializeToString())
    assert warnings(path, own) == ()
    norm = next(layer for layer in net.layer if layer.type == "BatchNorm")
    norm.batch_norm_param.eps = 0.5
    path.write_bytes(net.SerializeToString())
    assert warnings(path, own)[0].endswith("eps 0.5 there, 1e-05 in the spec")


def of_torch(graph: Graph, pool: dict[str, Any] | None = None, act: str = "Relu") -> onnx.ModelProto:
    """The network of NET as others export it: other names of nodes, defaults left out, a mean instead of a pooling."""
    nodes = [helper.make_node("Constant", [], ["axes"], value=numpy_helper.from_array(np.array([-1, -2])))]
    made: list[onnx.TensorProto] = []
    for key, shape in keys(graph).items():
        made.append(numpy_helper.from_array(np.ones(shape, np.float32), ".".join(key)))
    last = "image"

    def add(kind: str, inputs: list[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"{len(nodes)}"], f"n{len(nodes)}", **attributes))
        return str(nodes[-1].output[0])

    def unit(name: str, number: str, source: str) -> str:
        weights = [f"{name}/norm{number}.{one}" for one in ("gamma", "beta", "mean", "variance")]
        convolved = add("Conv", [source, f"{name}/conv{number}.weight"], pads=[1, 1, 1, 1])
        return add("BatchNormalization", [convolved, *weights], momentum=0.9)

    last = add(act, [unit("conv1", "1", last)])
    last = add("MaxPool", [last], **(pool or {"kernel_shape": [3, 3], "strides": [2, 2]}))
    for block in range(2):
        inner = add("Relu", [unit(f"conv2_x/{block}/main", "1", last)])
        last = add("Relu", [add("Add", [add("Identity", [last]), unit(f"conv2_x/{block}/main", "2", inner)])])
    last = add("Flatten", [add("ReduceMean", [last, "axes"])])
    last = add("Gemm", [last, "head/fc.weight", "head/fc.bias"], transB=1)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("image", last)]
    drawn = helper.make_graph(nodes, "g", ends[:1], ends[1:], made)
    return helper.make_model(drawn, opset_imports=[helper.make_opsetid("", 18)])


def test_a_model_of_another_exporter(tmp_path: Path) -> None:
    own = spec(tmp_path, NET)
    graph = compile_spec(own).graph
    path = tmp_path / "foreign.onnx"
    for pool, act, said in (
        ({"kernel_shape": [3, 3], "strides": [2, 2]}, "Relu", None),
        ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, "Relu", None),  # 17 is 8 either way
        ({"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, "Relu", "pad 1 there, 0 in the spec"),
        ({"kernel_shape": [3, 3], "strides": [2, 2]}, "Elu", "conv1/act1 (spec0.yaml:7): Elu there, Relu in the spec"),
    ):
        onnx.save(of_torch(graph, pool, act), path)
        found = warnings(path, own)
        assert [line.endswith(said) for line in found] == [True] if said else found == ()


def test_a_caffemodel_of_2014_is_compared(tmp_path: Path) -> None:
    """Its layers are read as those of today."""
    word = spec(tmp_path, "use: std\nname: tiny\nnames: null\ninput: 3x4x4\nstages: {s: gap | fc 2}\n")
    old = message("NetParameter")()
    old.layers.add(name="pool", type="POOLING", bottom=["data"], top=["pool"]).pooling_param.global_pooling = True
    fc = old.layers.add(name="s/fc", type="INNER_PRODUCT", bottom=["pool"], top=["fc"])
    fc.inner_product_param.num_output = 2
    for shape, count in (((1, 1, 2, 3), 6), ((1, 1, 1, 2), 2)):
        fc.blobs.add(**dict(zip(("num", "channels", "height", "width"), shape, strict=True)), data=[1.0] * count)
    path = tmp_path / "old.caffemodel"
    path.write_bytes(old.SerializeToString())
    (said,) = warnings(path, word)
    assert said.endswith("built otherwise: s/gap (spec0.yaml:5): pool MAX there, AVE in the spec")
    old.layers[0].pooling_param.pool = old.layers[0].pooling_param.AVE
    path.write_bytes(old.SerializeToString())
    assert warnings(path, word) == ()


def test_a_structure_beyond_the_limit_is_said_not_to_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = spec(tmp_path, NET)
    graph = compile_spec(own).graph
    model, caffe = write_onnx(graph, Ones(graph), tmp_path), write_caffe(graph, Ones(graph), tmp_path)
    monkeypatch.setattr("resnetgen.pretrained.onnx.MAX_STRUCTURE", 1000)
    monkeypatch.setattr("resnetgen.formats.caffe.model.caffemodel.MAX_HEADS", 1000)
    for path in (model.path, caffe.caffemodel):
        (said,) = warnings(path, own)
        assert said.startswith(f"the structure of {path.name} was not compared with the spec's: its ")
        assert said.endswith(("than 1,000 bytes without their blobs", "more than 1,000 bytes"))


def test_far_more_layers_than_the_spec_has_are_not_compared(tmp_path: Path) -> None:
    """Nor read: the limit grows with the spec."""
    own = spec(tmp_path, NET)
    graph = compile_spec(own).graph
    model = onnx.load(write_onnx(graph, Ones(graph), tmp_path).path)
    net = caffemodel(write_caffe(graph, Ones(graph), tmp_path).caffemodel)
    extra = [helper.make_node("Relu", ["input"], [f"{number}"]) for number in range(1300)]
    model.graph.node.extend(extra)
    onnx.save(model, tmp_path / "many.onnx")
    (said,) = warnings(tmp_path / "many.onnx", own)
    assert said.endswith(": it has more than 1,210 nodes")
    del model.graph.node[-1300:]
    model.graph.node.add(op_type="Sum", input=["input"] * 10_000, output=["sum"])
    onnx.save(model, tmp_path / "many.onnx")
    (said,) = warnings(tmp_path / "many.onnx", own)
    assert "tensors, more than 9,680" in said
    for number in range(1300):
        net.layer.add(name=f"{number}", type="ReLU", bottom=["data"], top=[f"{number}"])
    (tmp_path / "many.caffemodel").write_bytes(net.SerializeToString())
    (said,) = warnings(tmp_path / "many.caffemodel", own)
    assert said.endswith(": it has more than 1,210 layers")


def test_what_a_file_says_is_shortened(tmp_path: Path) -> None:
    own = spec(tmp_path, NET)
    graph = compile_spec(own).graph
    path = write_caffe(graph, Ones(graph), tmp_path).caffemodel
    net = caffemodel(path)
    next(layer for layer in net.layer if layer.type == "ReLU").type = "x\x1b\n" * 10_000
    path.write_bytes(net.SerializeToString())
    (said,) = warnings(path, own)
    assert len(said) < 300
    assert said.isprintable()
