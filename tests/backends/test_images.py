"""Image files as a network takes them, held against torchvision's and timm's own transforms; and what is no image."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image as PIL

from resnetgen.backends.images import load_bytes, load_images, normalise
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure
from resnetgen.preprocess import Color, Interpolation, Preprocess
from resnetgen.spec.find import find_spec
from resnetgen.spec.load import load_file
from support.oracle import torchvision_models

PLAIN = Preprocess(Color.RGB, 1, (0, 0, 0), (1, 1, 1), None, (4, 6), Interpolation.BILINEAR)


def photograph(folder: Path, width: int, height: int, mode: str = "RGB", suffix: str = "png") -> Path:
    """Waves of every length and some noise."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x * y / (90 + 40 * c) + c) * np.cos(y / 7) for c in range(3)]
    noise = np.random.default_rng(0).integers(-20, 20, (height, width, 3))
    pixels = np.clip(np.stack(waves, axis=2) + noise, 0, 255).astype(np.uint8)
    path = folder / f"image-{width}x{height}-{mode}.{suffix}"
    PIL.fromarray(pixels).convert(mode).save(path)
    return path


SIZES = [(640, 480), (333, 500), (224, 224), (257, 1000), (100, 80)]


def said(name: str) -> Preprocess:
    found = load_file(find_spec(name)).preprocess
    assert found
    return found


@pytest.mark.torch
@pytest.mark.parametrize("name", ["torchvision/resnet50", "torchvision/resnext101_64x4d"])
@pytest.mark.parametrize("size", SIZES)
def test_same_bits_as_torchvision(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    weights = torchvision_models().get_model_weights(name.removeprefix("torchvision/")).IMAGENET1K_V1
    path = photograph(tmp_path, *size)
    wanted = weights.transforms()(PIL.open(path).convert("RGB")).numpy()
    np.testing.assert_array_equal(load_images([path], said(name))[0], wanted)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["timm/resnet50", "timm/resnetrs152", "timm/resnext101_32x8d", "timm/test_resnet"])
@pytest.mark.parametrize("size", SIZES)
def test_same_bits_as_timm(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    torchvision_models()  # timm imports torchvision, which this makes possible
    from timm.data import create_transform, resolve_data_config
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name.removeprefix("timm/"))
    assert config
    transform = create_transform(**resolve_data_config(pretrained_cfg=config.to_dict()))
    path = photograph(tmp_path, *size)
    wanted = transform(PIL.open(path).convert("RGB")).numpy()
    np.testing.assert_array_equal(load_images([path], said(name))[0], wanted)


@pytest.mark.torch
@pytest.mark.parametrize("crop", [(32, 32), (33, 48), (500, 20)])
@pytest.mark.parametrize("resize", [None, 40, (50, 61)])
@pytest.mark.parametrize("interpolation", Interpolation)
@pytest.mark.parametrize("size", [(45, 70), (70, 45), (33, 33), (20, 90)])
def test_same_bits_as_torchvision_in_every_form(
    size: tuple[int, int], interpolation: Interpolation, resize: Any, crop: tuple[int, int], tmp_path: Path
) -> None:
    torchvision_models()
    from torchvision import transforms

    path = photograph(tmp_path, *size)
    preprocess = Preprocess(Color.BGR, 255, (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), resize, crop, interpolation)
    mode = transforms.InterpolationMode(interpolation.value)
    steps = [transforms.Resize(resize, mode)] if resize else []
    steps += [transforms.CenterCrop(crop), transforms.ToTensor(), lambda image: image[[2, 1, 0]]]
    steps += [transforms.Normalize(preprocess.mean, preprocess.std)]
    wanted = transforms.Compose(steps)(PIL.open(path).convert("RGB")).numpy()
    np.testing.assert_array_equal(load_images([path], preprocess)[0], wanted)


def test_channels_and_values(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    PIL.new("RGB", (6, 4), (10, 20, 30)).save(path)
    assert load_bytes([path, path], PLAIN).shape == (2, 4, 6, 3)
    assert load_bytes([path], PLAIN)[0, 0, 0].tolist() == [10, 20, 30]
    bgr = replace(PLAIN, color=Color.BGR, mean=(1, 2, 3), std=(1, 2, 4), divide=2)
    assert load_images([path], bgr)[0, :, 0, 0].tolist() == [14, 4, 0.5]
    assert load_bytes([path], bgr)[0, 0, 0].tolist() == [10, 20, 30]  # bytes are RGB for every network
    gray = Preprocess(Color.GRAY, 255, (0,), (1,), None, (4, 6), Interpolation.BILINEAR)
    assert load_bytes([path], gray).shape == (1, 4, 6, 1)
    assert load_images([path], gray).shape == (1, 1, 4, 6)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "png"), ("RGBA", "png"), ("P", "png"), ("CMYK", "jpg"), ("1", "bmp")]
)
def test_every_mode_becomes_rgb(mode: str, suffix: str, tmp_path: Path) -> None:
    path = photograph(tmp_path, 6, 4, mode, suffix)
    np.testing.assert_array_equal(load_bytes([path], PLAIN)[0], np.asarray(PIL.open(path).convert("RGB")))


def test_normalise_is_what_load_images_does(tmp_path: Path) -> None:
    path, preprocess = photograph(tmp_path, 300, 260), said("torchvision/resnet50")
    bytes_ = load_bytes([path], preprocess)
    assert bytes_.dtype == np.uint8
    np.testing.assert_array_equal(normalise(bytes_, preprocess), load_images([path], preprocess))


# Bad input


def refused(path: Path, preprocess: Preprocess = PLAIN) -> tuple[Exit, Code, str]:
    with pytest.raises(Failure) as caught:
        load_images([path], preprocess)
    (problem,) = caught.value.problems
    assert str(path) in problem.message
    return exit_code(caught.value), problem.code, problem.message


def test_no_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone.png")[:2] == (Exit.IO, Code.MISSING_FILE)
    assert refused(tmp_path)[:2] == (Exit.IO, Code.MISSING_FILE)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0" + bytes(100)])
def test_no_image(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    assert refused(path)[:2] == (Exit.IO, Code.BAD_IMAGE)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tif"])
def test_a_part_of_an_image(suffix: str, tmp_path: Path) -> None:
    whole = photograph(tmp_path, 64, 48, suffix=suffix).read_bytes()
    path = tmp_path / f"part.{suffix}"
    for cut in range(0, len(whole) - 100, max(1, len(whole) // 40)):
        path.write_bytes(whole[:cut])
        assert refused(path)[:2] == (Exit.IO, Code.BAD_IMAGE), cut


def promising(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says that it is large."""
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"")))
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(promising(1 << 30, 1 << 30))
    assert refused(path)[:2] == (Exit.IO, Code.BAD_IMAGE)
    PIL.new("RGB", (60_000, 1)).save(path)  # its shorter backend of 256 would make the longer one 15 million
    assert "larger than" in refused(path, replace(PLAIN, resize=256))[2]


def test_pillow_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = photograph(tmp_path, 6, 4)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(Failure) as caught:
        load_bytes([path], PLAIN)
    assert exit_code(caught.value) is Exit.USAGE
    assert "resnetgen[images]" in str(caught.value)
