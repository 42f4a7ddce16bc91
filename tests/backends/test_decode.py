"""Opening image files: a stated list of formats, no program that is started."""

from __future__ import annotations

import ast
import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PIL

from resnetgen.backends import decode as module
from resnetgen.backends.decode import FORMATS
from resnetgen.backends.images import image_files
from resnetgen.errors import Failure
from support.helpers import Run
from support.pictures import picture, pixels, refusal
from support.places import syntax

PACKAGE = Path(module.__file__).parents[1]


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
    """An ICNS has images of up to 1024x1024, which are quick to compress if they have one colour."""
    image = PIL.new("RGBA", (64, 64)) if format == "ICNS" else picture("RGB").resize((64, 64))
    image.save(file := io.BytesIO(), format)
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
        for node in syntax(path.read_text(encoding="utf-8")):
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
