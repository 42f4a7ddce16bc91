"""The builds of a tiny network in fp16 and int8 that the tests of precision share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from resnetgen.preprocess import Color, Interpolation, Preprocess
from resnetgen.verification.input_images import InputFormat
from support.helpers import Result

TINY = """\
use: std
input: 3x16x16
params: {classes: 4}
preprocess: {color: rgb, divide: 255, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], resize: 18, crop: 16x16}
stages:
  conv1:   8x8 | 3x3, 4 | maxpool 2x2, /2
  conv2_x: 4x4 | [3x3, 8; 3x3, 8] x2 /2
  head:    1x1   | gap | fc $classes | softmax
"""
BUILD = ("build", "tiny.yaml", "--init", "random-stats")
INT8 = (*BUILD, "--precision", "int8", "--calibrate", "random")
FP16 = (*BUILD, "--precision", "fp16")
FOLDER = Path("generated/tiny")
SEEN = Preprocess(Color.RGB, 255, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 18, (16, 16), Interpolation.BILINEAR)
WANTED = InputFormat((3, 16, 16), np.dtype(np.float32))


def pictures(folder: str, count: int) -> None:
    """Each is of one colour, so that one can tell which were taken."""
    Path(folder).mkdir()
    for number in range(count):
        Image.new("RGB", (20, 18), (number, 255 - number, 7)).save(f"{folder}/{number:03}.png")


def passed(result: Result) -> str:
    assert result.code == 0, result.err
    return result.out


def written() -> list[str]:
    return sorted(path.as_posix() for path in Path().rglob("*") if path.is_file() and path.name != "tiny.yaml")
