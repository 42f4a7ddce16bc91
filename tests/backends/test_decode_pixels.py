"""Opening image files: right values of every type of pixel or a refusal, and limits of sizes."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PIL

from resnetgen.backends import decode as module
from resnetgen.backends.images import load_bytes
from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Failure
from resnetgen.preprocess import Color, Interpolation, Preprocess
from support.pictures import RAMP, SCALED, picture, pixels, png, refusal

# Types of pixels


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_of_grey_are_scaled(suffix: str, gray: bool, tmp_path: Path) -> None:
    path = tmp_path / f"ramp.{suffix}"
    if suffix == "pgm":  # Pillow writes it since 11 alone
        path.write_bytes(b"P5 256 256 65535\n" + RAMP.astype(">u2").tobytes())
    else:
        PIL.fromarray(RAMP).save(path)
    found = pixels(path, gray)
    np.testing.assert_array_equal(found if gray else found[..., 1], SCALED)


def test_sixteen_bits_of_grey_in_the_other_byte_order(tmp_path: Path) -> None:
    PIL.fromarray(RAMP.astype(">u2")).save(path := tmp_path / "ramp.tif")
    assert path.read_bytes()[:2] == b"MM"
    np.testing.assert_array_equal(pixels(path, True), SCALED)


@pytest.mark.parametrize(("color", "channels"), [(2, 3), (6, 4), (4, 2)], ids=["RGB", "RGBA", "grey and alpha"])
def test_sixteen_bits_of_color_keep_the_upper_eight(color: int, channels: int, tmp_path: Path) -> None:
    """Pillow reads no more of them; so the last of eight bits may differ from a rounded one."""
    path = tmp_path / "ramp.png"
    path.write_bytes(png(np.stack([RAMP] * channels, axis=-1), color))
    found = pixels(path)
    for channel in range(3):
        np.testing.assert_array_equal(found[..., channel], RAMP >> 8)
    assert np.abs(found[..., 0].astype(int) - SCALED).max() == 1


def test_the_range_of_a_ppm_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "image.pgm"
    path.write_bytes(b"P5 16 1 15\n" + bytes(range(16)))
    assert pixels(path, True).tolist() == [[17 * value for value in range(16)]]
    path.write_bytes(b"P5 4096 1 4095\n" + np.arange(4096, dtype=">u2").tobytes())
    np.testing.assert_allclose(pixels(path, True)[0], np.arange(4096) * 255 / 4095, atol=0.51)
    path.write_bytes(b"P6 65536 1 65535\n" + np.repeat(np.arange(65536, dtype=">u2"), 3).tobytes())
    np.testing.assert_array_equal(pixels(path)[0, :, 2], SCALED.ravel())


@pytest.mark.parametrize(
    ("values", "suffix", "message"),
    [
        (RAMP.astype(np.int32), "tif", "pixels of 32 bits or with a sign have no stated range from black to white"),
        (RAMP.astype(np.float32), "tif", "pixels of float numbers have no stated range from black to white"),
    ],
    ids=["int32", "float32"],
)
def test_pixels_without_a_range_are_refused(values: np.ndarray, suffix: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / f"ramp.{suffix}"
    PIL.fromarray(values).save(path)
    assert refusal(path) == message


def test_a_map_of_floats_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.ppm"
    path.write_bytes(b"Pf\n256 256\n-1.0\n" + RAMP.astype(np.float32).tobytes())
    assert refusal(path) in (
        "pixels of float numbers have no stated range from black to white",
        "it is no image of a format that is read, or a broken one",  # by Pillow 10.0
    )


@pytest.mark.parametrize(
    ("values", "tags", "message"),
    [
        (RAMP, {258: 12}, "a grey TIFF of more than 8 bits is read with 16 bits alone, 0 for black"),
        (RAMP, {262: 0}, "a grey TIFF of more than 8 bits is read with 16 bits alone, 0 for black"),
        (RAMP, {339: 2}, "pixels of 32 bits or with a sign have no stated range from black to white"),
        (SCALED, {339: 2}, "pixels with a sign have no stated range from black to white"),
    ],
    ids=["12 bits", "0 is white", "16 bits with a sign", "8 bits with a sign"],
)
def test_a_tiff_that_pillow_reads_wrong_is_refused(
    values: np.ndarray, tags: dict[int, int], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "ramp.tif"
    PIL.fromarray(values).save(stream := io.BytesIO(), "TIFF", tiffinfo={339: 1})
    file = bytearray(stream.getvalue())
    start = struct.unpack_from("<I", file, 4)[0]
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", file, start)[0], 12):
        if (tag := struct.unpack_from("<H", file, at)[0]) in tags:
            struct.pack_into("<H", file, at + 8, tags[tag])
    path.write_bytes(file)
    assert refusal(path) == message


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_a_compressed_tiff_is_refused(compression: str, tmp_path: Path) -> None:
    picture().save(path := tmp_path / "image.tif", compression=compression)
    assert refusal(path) == f"a TIFF of compression {compression} is not read"


def test_a_tiff_in_lab_is_refused(tmp_path: Path) -> None:
    PIL.new("LAB", (4, 4)).save(path := tmp_path / "image.tif")
    assert refusal(path) == "pixels of Pillow's mode LAB are not read"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_alpha_is_dropped_as_torchvision_drops_it(mode: str, tmp_path: Path) -> None:
    image = picture("L" if mode != "RGBA" else "RGB")
    hidden = image.copy()
    if mode == "P":
        image = picture("P")
        hidden = image.convert("RGB")
        image.save(path := tmp_path / "image.png", transparency=bytes(range(256)))
    else:
        image.putalpha(0)
        image.save(path := tmp_path / "image.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(pixels(path), np.asarray(PIL.open(path).convert("RGB")))
    np.testing.assert_array_equal(pixels(path), np.asarray(hidden.convert("RGB")))


def test_the_first_frame_is_read(tmp_path: Path) -> None:
    others = [PIL.new("RGB", (30, 20), color) for color in ("red", "blue")]
    for suffix in ("gif", "png", "tif", "webp"):
        options = {"lossless": True} if suffix == "webp" else {}
        PIL.new("RGB", (30, 20), "lime").save(
            path := tmp_path / f"image.{suffix}", save_all=True, append_images=others, **options
        )
        assert (pixels(path) == (0, 255, 0)).all(), suffix


def turned(path: Path, orientation: int) -> np.ndarray:
    exif = PIL.Exif()
    exif[0x0112] = orientation
    picture().save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))
    return pixels(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_is_ignored_as_torchvision_does(suffix: str, orientation: int, tmp_path: Path) -> None:
    path = tmp_path / f"image.{suffix}"
    upright = turned(path, 1)
    np.testing.assert_array_equal(turned(path, orientation), upright)
    assert PIL.open(path).getexif()[0x0112] == orientation, "the control"


def test_the_orientation_of_a_tiff_is_pillows(tmp_path: Path) -> None:
    found = turned(tmp_path / "image.tif", 6)
    np.testing.assert_array_equal(found, np.rot90(np.asarray(picture()), -1))


# Sizes


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "image.webp"
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWEBPVP8 ")
        file.truncate(module.MAX_BYTES + 1)
    assert refusal(path) == "an image file of 536,870,913 bytes is larger than 536,870,912"


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((20_000, 20_000), "an image of more than 134,217,728 pixels is not read"),
        ((12_000, 12_000), "an image of 12,000 x 12,000 pixels is larger than 134,217,728"),
        ((65_537, 1), "an image of 65,537 x 1 pixels is longer than 65,536"),
    ],
)
def test_an_image_beyond_the_limits(size: tuple[int, int], message: str, tmp_path: Path) -> None:
    path = tmp_path / "image.ppm"
    path.write_bytes(b"P6 %d %d 255\n" % size)
    assert refusal(path) == message


def test_no_more_is_read_than_the_file_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PNG of 60 bytes that claims to hold 4 GB of pixels."""
    asked = []
    read = io.BufferedReader.read

    class Counted(io.BufferedReader):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(size)
            return read(self, size)

    header = struct.pack(">IIBBBBB", 30, 20, 16, 0, 0, 0, 0)
    path = tmp_path / "image.png"
    chunks = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks + struct.pack(">I", 0xFF0004CF) + b"IDAT" + b"\x78\x46\0")
    monkeypatch.setattr(module, "open_input", lambda path: Counted(io.FileIO(path)))
    refusal(path)
    assert asked
    assert max(size or 0 for size in asked) <= path.stat().st_size
    assert min(size or 0 for size in asked) >= 0


def test_a_network_beyond_the_limits(tmp_path: Path) -> None:
    huge = Preprocess(Color.RGB, 1, (0,) * 3, (1,) * 3, None, (65_536, 65_536), Interpolation.BILINEAR)
    with pytest.raises(Failure, match="images of 65,536 x 65,536 pixels, which this network takes") as caught:
        load_bytes([tmp_path / "none.png"], huge)
    assert exit_code(caught.value) is Exit.LIMIT


def test_a_resized_image_beyond_the_limits(tmp_path: Path) -> None:
    PIL.new("L", (65_000, 1)).save(path := tmp_path / "image.png")
    for backend in (2, 256, 65_536):
        long = Preprocess(Color.RGB, 1, (0,) * 3, (1,) * 3, backend, (1, 1), Interpolation.BICUBIC)
        with pytest.raises(Failure, match=r"is (longer|larger) than"):
            load_bytes([path], long)
