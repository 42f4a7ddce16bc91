"""Preprocessing: what specs say of it, held against the libraries whose weights they are for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from resnetgen.paths import LIBRARY
from resnetgen.preprocess import Color, Interpolation, Preprocess
from resnetgen.spec import json_schema
from resnetgen.spec.find import bundled, find_spec
from resnetgen.spec.load import load_file, option_value, parse_input_size
from resnetgen.spec.table import Spec
from resnetgen.spec.yaml import Mapping, parse, read_source
from support.oracle import torchvision_models

PLAIN = Preprocess(Color.RGB, 1, (0, 0, 0), (1, 1, 1), None, (32, 32), Interpolation.BILINEAR)
PARENT = (
    "use: std\ninput: 3x32x32\npreprocess: {color: rgb, divide: 255, mean: [1, 2, 3], resize: 40}\nstages: {s: gap}\n"
)


def said(folder: Path, *texts: str) -> Preprocess | None:
    """What the last of some specs says, which extend a.yaml, b.yaml ... before them."""
    for name, text in zip("abcdef", texts, strict=False):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_file(folder / f"{'abcdef'[len(texts) - 1]}.yaml").preprocess


# The key


def test_defaults(tmp_path: Path) -> None:
    assert said(tmp_path, "use: std\ninput: 3x32x32\npreprocess: {color: rgb}\nstages: {s: gap}\n") == PLAIN
    assert said(tmp_path, "use: std\ninput: 3x32x32\nstages: {s: gap}\n") is None


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        pytest.param("{color: bgr}", ("bgr", 255, (1, 2, 3), 40), id="one key"),
        pytest.param("{mean: null, divide: 2}", ("rgb", 2, (0, 0, 0), 40), id="a key taken away"),
        pytest.param("{resize: null}", ("rgb", 255, (1, 2, 3), None), id="resizing taken away"),
        pytest.param("{resize: 48x64, crop: 32x32}", ("rgb", 255, (1, 2, 3), (48, 64)), id="height x width"),
    ],
)
def test_extends_merges_key_by_key(patch: str, expected: tuple[object, ...], tmp_path: Path) -> None:
    found = said(tmp_path, PARENT, f"extends: a\npreprocess: {patch}\n")
    assert found
    assert (found.color, found.divide, found.mean, found.resize) == expected


def test_null_takes_it_away(tmp_path: Path) -> None:
    assert said(tmp_path, PARENT, "extends: a\npreprocess: null\n") is None
    again = "extends: b\npreprocess: {color: bgr}\n"
    found = said(tmp_path, PARENT, "extends: a\npreprocess: null\n", again)
    assert found
    assert found.mean == (0, 0, 0)


@pytest.mark.parametrize(
    ("child", "resize"),
    [
        pytest.param("input: 3x64x64\n", 80, id="another input"),
        pytest.param("input: 3x64x48\n", 80, id="its longer side counts, so that the crop lies inside"),
        pytest.param("input: 3x64x64\npreprocess: {resize: 72}\n", 72, id="said anew"),
        pytest.param("input: 3x64x64\npreprocess: {mean: null}\n", 80, id="another key said"),
        pytest.param("input: 3x64x64\nuse: caffe_images\n", 256, id="said anew by a library"),
    ],
)
def test_resize_belongs_to_the_input_it_was_said_for(child: str, resize: int, tmp_path: Path) -> None:
    found = said(tmp_path, PARENT, f"extends: a\n{child}")
    assert found
    assert found.resize == resize


def at(spec: Spec, image: str) -> Preprocess | None:
    return spec.at(parse_input_size(option_value("--input", image))).preprocess


def test_input_on_the_command_line() -> None:
    spec = load_file(find_spec("torchvision/resnet50"))
    found = at(spec, "3x448x320")
    assert found
    assert (found.crop, found.resize) == ((448, 320), 512)
    assert at(spec, "4x224x224") is None  # four channels are not RGB
    (warped,) = [one for one in [at(load_file(find_spec("googlenet")), "3x448x224")] if one]
    assert warped.resize == (512, 256)


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_library_states_every_key(path: Path) -> None:
    """Else a spec that uses it would keep a key of the spec it extends."""
    document = parse(read_source(path, None, None))
    if isinstance(written := document.get("preprocess"), Mapping):
        (keys, _) = json_schema.PREPROCESS["anyOf"]
        assert set(written.items) == set(keys["properties"]) - {"crop"}


# The bundled specs


@pytest.mark.parametrize("name", [name for name in bundled() if name != "preact_resnet200"])
def test_bundled_specs_say_theirs(name: str) -> None:
    spec = load_file(find_spec(name))
    assert spec.preprocess
    assert spec.preprocess.crop == spec.input.extents[1:]


@pytest.mark.torch
@pytest.mark.parametrize("name", [name for name in bundled() if name.startswith("torchvision/")])
def test_torchvision_says_the_same(name: str) -> None:
    weights = torchvision_models().get_model_weights(name.removeprefix("torchvision/")).IMAGENET1K_V1
    transforms, found = weights.transforms(), load_file(find_spec(name)).preprocess
    assert found
    assert (found.color, found.divide, list(found.mean), list(found.std)) == (
        Color.RGB,
        255,
        transforms.mean,
        transforms.std,
    )
    assert ([found.resize], list(found.crop)) == (transforms.resize_size, transforms.crop_size * 2)
    assert found.interpolation == transforms.interpolation.value


@pytest.mark.torch
@pytest.mark.parametrize("name", [name for name in bundled() if name.startswith("timm/")])
def test_timm_says_the_same(name: str) -> None:
    torchvision_models()  # timm imports torchvision, which this makes possible
    from timm.models import get_pretrained_cfg

    config, found = get_pretrained_cfg(name.removeprefix("timm/")), load_file(find_spec(name)).preprocess
    assert found
    assert config
    assert (found.color, found.divide, found.mean, found.std) == (Color.RGB, 255, config.mean, config.std)
    assert found.crop == config.input_size[1:]
    assert found.resize == math.floor(found.crop[0] / config.crop_pct)
    assert found.interpolation == config.interpolation
    assert config.crop_mode == "center"
