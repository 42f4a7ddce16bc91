"""Opening image files: a stated list of formats, right values of every type of pixel, no program that is started."""

from __future__ import annotations

import ast
import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PIL

from resnetgen.backends import decode as module
from resnetgen.backends.decode import FORMATS, decode
from resnetgen.backends.images import image_files, load_bytes
from resnetgen.errors import Code, Exit, Failure
from resnetgen.preprocess import Color, Interpolation, Preprocess
from support.helpers import Run

PACKAGE = Path(module.__file__).parents[1]
RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)
SCALED = np.round(RAMP / 257).astype(np.uint8)
"""RAMP in eight bits: 0 stays black, and 65,535 becomes 255."""


def pixels(path: Path, gray: bool = False) -> np.ndarray:
    return np.asarray(decode(path, gray))


def refusal(path: Path) -> str:
    with pytest.raises(Failure) as caught:
        decode(path, False)
    (problem,) = caught.value.problems
    assert (caught.value.exit, problem.code) == (Exit.IO, Code.BAD_IMAGE)
    assert problem.hint
    assert problem.message.startswith(f"{path}: ")
    return problem.message.removeprefix(f"{path}: ")


def picture(mode: str = "RGB") -> Any:
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    return PIL.fromarray(values).convert(mode)


def png(values: np.ndarray, color: int) -> bytes:
    """A PNG of 16 bits, of which Pillow writes only some."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, color, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


# Formats


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"
FOREIGN = {
    "EPS": EPS,
    "PostScript": EPS.replace(b" EPSF-3.0", b""),
    "EPS behind a DOS header": struct.pack("<IIII", 0xC6D3D0C5, 30, len(EPS), 0).ljust(30, b"\0") + EPS,
    "PDF": b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + struct.pack("<HHHH", 0, 0, 64, 64) + struct.pack("<H", 72).ljust(40, b"\0"),
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "FITS": b"SIMPLE  =                    T".ljust(2880),
    "HDF5": b"\x89HDF\r\n\x1a\n".ljust(100, b"\0"),
    "GRIB": b"GRIB".ljust(7, b"\0") + b"\1".ljust(100, b"\0"),
    "MPEG": b"\0\0\1\xb3".ljust(100, b"\0"),
}
"""Contents of formats that Pillow knows, and for the first of which it starts a program."""


def encoded(format: str) -> bytes:
    picture("RGBA" if format == "ICNS" else "RGB").resize((64, 64)).save(file := io.BytesIO(), format)
    return file.getvalue()


for _format in ("ICNS", "ICO", "TGA", "PCX", "SGI", "DDS"):
    FOREIGN[_format] = encoded(_format)


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_are_refused_whatever_they_are_called(kind: str, tmp_path: Path) -> None:
    for name in ("cat.jpg", "cat.png", "cat.eps"):
        (tmp_path / name).write_bytes(FOREIGN[kind])
        assert refusal(tmp_path / name) == "it is no image of a format that is read, or a broken one"


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_of_the_list_is_read_by_its_content(format: str, tmp_path: Path) -> None:
    path = tmp_path / "image.bin"
    picture().save(path, format)
    np.testing.assert_array_equal(pixels(path), np.asarray(PIL.open(path).convert("RGB")))


def test_the_endings_are_those_of_the_formats(tmp_path: Path) -> None:
    endings = sorted(ending for endings in FORMATS.values() for ending in endings)
    for name in [*(f"a{ending}" for ending in endings), "B.JPG", "c.eps", "d.pdf", "e.psd", "f.txt", "g.icns", "jpg"]:
        (tmp_path / name).touch()
    assert [path.name for path in image_files(tmp_path)] == sorted([*(f"a{ending}" for ending in endings), "B.JPG"])
    docs = (PACKAGE.parent / "docs" / "predict.md").read_text(encoding="utf-8")
    assert " ".join(ending for endings in FORMATS.values() for ending in endings) in docs
    known = PIL.registered_extensions()
    assert not {ending: known.get(ending) for ending in endings if known.get(ending, "JPEG") not in FORMATS}


def test_a_folder_without_images_names_the_endings(tmp_path: Path) -> None:
    (tmp_path / "a.eps").touch()
    with pytest.raises(Failure, match=r"there are no images in .*\n  hint: the names of images end in \.apng \.bmp"):
        image_files(tmp_path)


def test_pillow_opens_files_in_one_place_and_from_the_list() -> None:
    users, calls = [], []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "PIL":
                users.append(path)
            if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == "PIL" for alias in node.names):
                users.append(path)
            if path == Path(module.__file__) and isinstance(node, ast.Attribute) and node.attr == "open":
                calls.append(node)
    assert users == [Path(module.__file__)]
    assert len(calls) == 1
    assert "formats=tuple(FORMATS)" in users[0].read_text(encoding="utf-8")


# Programs

WITNESS = """\
import os, sys
# Not os.fork: the program runs its engines in a child of its own. What the child would start is seen as well.
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.forkpty")
def witness(event, arguments):
    if event in STARTS:
        os.write(2, f"STARTED {event} {arguments}\\n".encode())
sys.addaudithook(witness)
from resnetgen.cli import run
run()
"""
PREPROCESS = "preprocess: {color: rgb, divide: 255, resize: 36, crop: 32x32}\n"


@pytest.fixture
def witnessed(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """A run of the program that reports each program that it starts; of `gs`, the first on the PATH is a false one."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("gs", "gswin64c", "djpeg", "iconutil"):
        (programs / name).write_text("#!/bin/sh\necho STARTED $0 >&2\n")
        (programs / name).chmod(0o755)

    def call(*args: str) -> tuple[int, str]:
        found = subprocess.run(
            [sys.executable, "-c", WITNESS, *args],
            env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )
        return found.returncode, found.stderr

    return call


def test_no_image_starts_a_program(run: Run, witnessed: Callable[..., tuple[int, str]]) -> None:
    Path("net.yaml").write_text(Path("tiny.yaml").read_text() + PREPROCESS)
    assert run("build", "net.yaml").code == 0
    for number, content in enumerate(FOREIGN.values()):
        Path(f"{number}.jpg").write_bytes(content)
    images = [f"{number}.jpg" for number in range(len(FOREIGN))]
    commands = (
        ("predict", "generated/net", *images),
        ("build", "net.yaml", "--precision", "int8", "--calibrate", "."),
        ("verify", "net.yaml", "--data", images[0]),
    )
    for command in commands:
        code, text = witnessed(*command)
        assert "STARTED" not in text
        assert (code, text.count("error[bad-image]")) == (5, 1 if command[0] == "verify" else len(images))


def test_the_witness_sees_a_program(witnessed: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    """The control: Pillow itself does start Ghostscript."""
    (tmp_path / "cat.jpg").write_bytes(EPS)
    opening = WITNESS.replace(
        "from resnetgen.cli import run\nrun()", "from PIL import Image\nImage.open('cat.jpg').load()"
    )
    programs = tmp_path / "programs"
    found = subprocess.run(
        [sys.executable, "-c", opening],
        cwd=tmp_path,
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert "STARTED subprocess.Popen" in found.stderr
    assert f"STARTED {programs / 'gs'}" in found.stderr


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
    assert caught.value.exit is Exit.LIMIT


def test_a_resized_image_beyond_the_limits(tmp_path: Path) -> None:
    PIL.new("L", (65_000, 1)).save(path := tmp_path / "image.png")
    for side in (2, 256, 65_536):
        long = Preprocess(Color.RGB, 1, (0,) * 3, (1,) * 3, side, (1, 1), Interpolation.BICUBIC)
        with pytest.raises(Failure, match=r"is (longer|larger) than"):
            load_bytes([path], long)


# Warnings


def test_nothing_is_printed_but_our_errors(tmp_path: Path) -> None:
    """Pillow warns and logs, and the libraries in it print, where each of these is read."""
    paths = [tmp_path / name for name in ("palette.png", "bomb.ppm", "samples.tif", "exif.jpg", "text.jpg", "apng.png")]
    palette, bomb, samples, exif, text, animated = paths
    picture("P").save(palette, transparency=bytes(range(256)))
    bomb.write_bytes(b"P5 10000 10000 255\n")
    picture().save(stream := io.BytesIO(), "TIFF")
    file = bytearray(stream.getvalue())
    at = file.index(struct.pack("<HHI", 277, 3, 1))
    file[at + 8 : at + 10] = struct.pack("<H", 68)
    samples.write_bytes(file)
    broken = PIL.Exif()
    broken[0x010F] = "maker" * 20
    picture().save(stream := io.BytesIO(), "JPEG", exif=broken)
    exif.write_bytes(
        stream.getvalue().replace(struct.pack(">HHI", 0x010F, 2, 101), struct.pack(">HHI", 0x010F, 2, 1 << 30))
    )
    text.write_bytes(b"text")
    frames = [PIL.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(animated, save_all=True, append_images=frames[1:])
    one, none = (b"acTL" + struct.pack(">II", count, 0) for count in (2, 0))
    checked = [chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (one, none)]
    assert checked[0] in animated.read_bytes()
    animated.write_bytes(animated.read_bytes().replace(*checked))
    code = (
        "import sys; from pathlib import Path; from resnetgen.errors import Failure\n"
        "from resnetgen.backends.decode import decode\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n        decode(Path(name), False)\n    except Failure as failure:\n        print(failure)\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "always", "-c", code, *map(str, paths)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stderr == ""
    assert found.stdout.count("error[bad-image]") == 3, found.stdout
