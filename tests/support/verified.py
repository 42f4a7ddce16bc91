"""Verification of a small model that the working folder holds, as a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from resnetgen.errors import Failure
from resnetgen.verification import Report, Settings
from resnetgen.verification.verify import Verified, verify_files

TINY = """\
use: std
input: 3x16x16
params: {classes: 10}
stages:
  conv1:   16x16 | 3x3, 8
  conv2_x: 8x8   | [3x3, 16; 3x3, 16] x2 /2
  head:    1x1   | gap | fc $classes | softmax
"""
MODEL = "generated/tiny/tiny.onnx"


def check(*on: str, word: str = "tiny.yaml", against: str | None = None, save: str = "", **settings: Any) -> Report:
    return verify_files(Verified(word, on, against, save=Path(save) if save else None), Settings(**settings))


def refused(*on: str, **given: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        check(*on, **given)
    return caught.value


def change(path: str, name: str, edit: Callable[[np.ndarray], np.ndarray], to: str = "") -> None:
    """Change one weight of a model, there or in a copy."""
    model = onnx.load(path)
    (tensor,) = (one for one in model.graph.initializer if one.name == name)
    tensor.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensor).copy()), name))
    Path(to or path).write_bytes(model.SerializeToString())
