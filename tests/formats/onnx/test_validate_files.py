"""ONNX models that say something else than they seem to, damaged texts, and external data that is not there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.formats.onnx.lift import lift as lift_onnx
from resnetgen.formats.onnx.model.read import read_model
from resnetgen.ir.canonical import canonical, differences, shortest
from resnetgen.ir.ops import AvgPool, MaxPool
from support.helpers import (
    OnnxModel,
    cells,
    error,
    expected,
    image,
    on_onnxruntime,
    random_weights,
)
from support.translation import beside, onnx_differences, swap_inputs, tensor

# What a reader must not take for something else


def single(kind: str, before: list[onnx.NodeProto] | None = None, **attributes: object) -> ModelProto:
    """A model of one node on a 1x8x8 image, and of what stands before it."""
    last = before[-1].output[0] if before else "data"
    main = helper.make_node(kind, [last], ["out"], name="out", **attributes)
    source = helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 1, 8, 8])
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    made = helper.make_graph([*(before or []), main], "net", [source], [result])
    made.initializer.append(helper.make_tensor("zeros", TensorProto.INT64, [8], [0, 0, 1, 1, 0, 0, 1, 1]))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])


PAD = [helper.make_node("Pad", ["data", "zeros"], ["padded"])]
WINDOW = {"kernel_shape": [3, 3], "strides": [2, 2]}
FOREIGN: dict[str, tuple[ModelProto, object]] = {
    # What it means in the IR, or the message of its refusal.
    "floor": (single("MaxPool", **WINDOW, pads=[0, 0, 0, 0]), MaxPool((3, 3), (2, 2))),
    "overhang": (single("MaxPool", **WINDOW, pads=[0, 0, 1, 1]), MaxPool((3, 3), (2, 2), ceil=True)),
    "more at the end than an overhang": (
        single("MaxPool", **WINDOW, pads=[0, 0, 2, 2]),
        MaxPool((3, 3), (2, 2), ceil=True),  # the same windows
    ),
    "an overhang in one axis only": (single("MaxPool", **WINDOW, pads=[0, 0, 1, 0]), "padded otherwise"),
    "counted padding": (
        single("AveragePool", **WINDOW, pads=[1, 1, 1, 1], count_include_pad=1),
        AvgPool((3, 3), (2, 2), pad=(1, 1)),
    ),
    "excluded padding": (
        single("AveragePool", **WINDOW, pads=[1, 1, 1, 1], count_include_pad=0),
        AvgPool((3, 3), (2, 2), pad=(1, 1), exclude_pad=True),
    ),
    "counted overhang": (
        single("AveragePool", **WINDOW, pads=[0, 0, 1, 1], count_include_pad=1),
        "counts the overhang",
    ),
    "padded average": (
        single("AveragePool", PAD, **WINDOW, pads=[0, 0, 0, 0], count_include_pad=0),
        AvgPool((3, 3), (2, 2), pad=(1, 1)),
    ),
    "padded twice": (
        single("AveragePool", PAD, **WINDOW, pads=[1, 1, 1, 1], count_include_pad=0),
        "unsupported layer: Pad",
    ),
    "zeros under a maximum": (
        single("MaxPool", PAD, **WINDOW, pads=[0, 0, 0, 0]),
        r"unsupported layer: Pad \(node padded\)",
    ),
    "zeros under a relu": (single("Relu", PAD), r"unsupported layer: Pad \(node padded\)"),
    "reflected": (
        single("Relu", [helper.make_node("Pad", ["data", "zeros"], ["padded"], mode="reflect")]),
        r"unsupported layer: Pad \(node padded\)",
    ),
    "padded by what is not there": (
        single("Relu", [helper.make_node("Pad", ["data"], ["p"])]),
        r"unsupported layer: Pad \(node p\)",
    ),
    "an elu": (single("Elu", alpha=0.1), r"unsupported layer: Elu \(node out\)"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_a_pooling_means(case: str, tmp_path: Path) -> None:
    proto, meaning = FOREIGN[case]
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    if isinstance(meaning, str):
        with pytest.raises(Failure, match=meaning) as caught:
            lift_onnx(read_model(path))
        assert exit_code(caught.value) is Exit.MODEL
    else:
        graph = lift_onnx(read_model(path)).graph
        assert canonical(graph).nodes[-1].op == meaning


def test_canonical_form() -> None:
    """Two ways to write one network are one; a difference that matters is one."""
    for a, b, same in [
        ("gap | flatten | fc 2", "gap | fc 2", True),
        ("flatten | relu", "relu | flatten", False),
        ("maxpool 3x3, /2, ceil", "maxpool 3x3, /2", True),
        ("maxpool 2x2, /2, ceil", "maxpool 2x2, /2", False),
        ("avgpool 3x3, /2, exclude_pad", "avgpool 3x3, /2", True),
        ("avgpool 3x3, /2, p=1, exclude_pad", "avgpool 3x3, /2, p=1", False),
        ("batchnorm eps=0.0123456789", "batchnorm eps=0.01234567891", True),  # one float32
        ("batchnorm eps=0.0123456789", "batchnorm eps=0.01234568", False),
    ]:
        found = differences(cells(a, "2x9x9"), cells(b, "2x9x9"))
        assert (found == []) is same, (a, b, found)
    assert [shortest(float(np.float32(x))) for x in (1e-5, 1.001e-5, 0.1, 0.0123456789)] == [
        1e-5,
        1.001e-5,
        0.1,
        0.012345679,
    ]


# External data


def test_external_data(external: OnnxModel, model: OnnxModel) -> None:
    assert external.plan.external
    assert external.path.with_name(f"{external.path.name}.data").is_file()
    data = image(external.graph, batch=2)
    wanted = expected(external.graph, random_weights(external.graph), data)
    assert error(on_onnxruntime(external.path, data), wanted) < 1e-5
    assert np.array_equal(on_onnxruntime(external.path, data), on_onnxruntime(model.path, data))
    onnx.checker.check_model(str(external.path), full_check=True)
    inside = onnx.load(str(model.path)).graph.initializer
    beside_it = onnx.load(str(external.path)).graph.initializer
    assert [one.name for one in inside] == [one.name for one in beside_it]
    for a, b in zip(inside, beside_it, strict=True):
        assert np.array_equal(numpy_helper.to_array(a), numpy_helper.to_array(b))


def place(key: str, value: str) -> Callable[[ModelProto], None]:
    def change(proto: ModelProto) -> None:
        entry = next(one for one in tensor(proto, "c/fc.weight").external_data if one.key == key)
        entry.value = value

    return change


def no_place(proto: ModelProto) -> None:
    tensor(proto, "c/fc.weight").ClearField("external_data")


LOCATIONS: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    "above": (place("location", "../weights"), "outside its folder"),
    "far above": (place("location", "../../../../etc/hostname"), "outside its folder"),
    "absolute": (place("location", "/etc/hostname"), "outside its folder"),
    "below": (place("location", "folder/weights"), "outside its folder"),
    "a name that begins with the folder": (place("location", "./weights"), "outside its folder"),
    "the folder above": (place("location", ".."), "outside its folder"),
    "the folder": (place("location", "."), "outside its folder"),
    "empty": (place("location", ""), "outside its folder"),
    "Windows' way up": (place("location", "..\\weights"), "outside its folder"),
    "Windows' drive": (place("location", "C:weights"), "outside its folder"),
    "NUL": (place("location", "model0.onnx.data\0"), "outside its folder"),
    "a link": (place("location", "link"), "outside its folder"),
    "not there": (place("location", "nothing"), "are missing"),
    "a folder": (place("location", "folder"), "are missing"),
    "a pipe": (place("location", "pipe"), "are missing"),  # would wait for a writer, forever
    "beyond the end": (place("offset", "1000000000000000000000000"), "does not say where"),
    "just beyond the end": (place("offset", "131072"), "ends beyond"),
    "before the start": (place("offset", "-1"), "does not say where"),
    "in words": (place("offset", "four"), "does not say where"),
    "longer": (place("length", "1000000"), "of 2x16 float32 holds"),
    "shorter": (place("length", "4"), "of 2x16 float32 holds"),
    "nowhere": (no_place, "outside its folder"),
    "another's": (place("offset", "0"), ""),
}


@pytest.mark.skipif(os.name == "nt", reason="links and pipes as POSIX has them")
@pytest.mark.parametrize("case", LOCATIONS)
def test_location_of_external_data(case: str, external: OnnxModel, tmp_path: Path) -> None:
    change, message = LOCATIONS[case]
    folder = tmp_path / "model"
    (folder / "folder").mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    data = Path(f"{external.path}.data").read_bytes()
    for path in (tmp_path / "weights", folder / "folder" / "weights", folder / f"{external.path.name}.data"):
        path.write_bytes(data)
    (folder / "link").symlink_to(tmp_path / "weights")
    model = folder / external.path.name
    proto = ModelProto.FromString(external.path.read_bytes())
    model.write_bytes(proto.SerializeToString())
    assert onnx_differences(external, model) == []
    change(proto)
    model.write_bytes(proto.SerializeToString())
    found = onnx_differences(external, model)
    assert found
    assert message in found[0]
    if message:
        with pytest.raises(Failure) as caught:
            _ = read_model(model).tensors
        assert exit_code(caught.value) is Exit.MODEL


def test_truncated_external_data(external: OnnxModel, tmp_path: Path) -> None:
    model, data = tmp_path / external.path.name, Path(f"{external.path}.data").read_bytes()
    model.write_bytes(external.path.read_bytes())
    beside_it = tmp_path / f"{external.path.name}.data"
    for size in (len(data) - 1, len(data) - 100, len(data) // 2, 1, 0):
        beside_it.write_bytes(data[:size])
        onnx.checker.check_model(str(model))  # it sees nothing
        assert "ends beyond" in onnx_differences(external, model)[0]
    beside_it.unlink()
    assert "are missing" in onnx_differences(external, model)[0]


def test_flipped_external_data(external: OnnxModel, tmp_path: Path) -> None:
    model, path = tmp_path / external.path.name, Path(f"{external.path}.data")
    model.write_bytes(external.path.read_bytes())
    data = path.read_bytes()
    for one in ModelProto.FromString(external.path.read_bytes()).graph.initializer:
        for entry in one.external_data:
            if entry.key == "offset":
                changed = bytearray(data)
                changed[int(entry.value)] ^= 1
                (tmp_path / path.name).write_bytes(changed)
                assert onnx_differences(external, model) == [f"the weight {one.name} has changed"]


# Texts and attributes


def test_names_that_are_no_text(model: OnnxModel) -> None:
    """Protobuf lets strings through that are not UTF-8."""
    data = model.path.read_bytes()
    for name in (b"tiny", b"input", b"a/conv", b"avgpool.pads", b"avgpool/padded", b"Softmax", b"fc.weight", b"axis"):
        places = [place.start() for place in re.finditer(re.escape(name), data)]
        assert places
        changes = [data[:place] + b"\xff" + data[place + 1 :] for place in places]
        for changed in (*changes, data.replace(name, b"\xff" + name[1:])):
            assert onnx_differences(model, beside(model.path, changed))
    proto = ModelProto.FromString(data)
    swap_inputs("Add", 0, 1)(proto)
    changed = proto.SerializeToString().replace(b"b/0/main/norm2", b"b/0/main/norm\xff")
    assert "not UTF-8" in onnx_differences(model, beside(model.path, changed))[0]


def test_attributes_that_are_not_numbers(tmp_path: Path) -> None:
    for kind in (AttributeProto.STRING, AttributeProto.TENSOR, AttributeProto.GRAPH, AttributeProto.UNDEFINED):
        proto = single("Softmax", axis=1)
        proto.graph.node[0].attribute[0].type = kind
        path = tmp_path / "model.onnx"
        path.write_bytes(proto.SerializeToString())
        with pytest.raises(Failure, match=r"no attribute axis of this type"):
            lift_onnx(read_model(path))
