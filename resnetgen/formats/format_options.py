"""Options of writing a network in a format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from resnetgen import ranges
from resnetgen.arguments import choose, require_flag, require_int, require_text
from resnetgen.errors import Code, UsageError
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.profiles import Profile, find_profile

MAX_TENSOR_NAME = 256
"""Limit in characters of the name of an input or an output; a spec's names have the same."""


class FormatOptions(Struct, frozen=True):
    weights: bool = True
    """False for the structure alone."""
    fold: bool = True
    """True if batch norms are folded into convolutions; ONNX only."""
    batch: int | None = None
    """Fixed batch size; None if it is dynamic, or 1 in Caffe."""
    dialect: Dialect | None = None
    """Reader of the Caffe files; None for BVLC's master."""
    opset: int | None = None
    """ONNX opset; None for the default of profiles.choose_opset."""
    runtime: Profile | None = None
    """Server that must be able to load the ONNX model; None for no particular one."""
    external_data: bool = False
    """True if the ONNX model's weights go into a file next to it."""
    embed_preprocess: bool = False
    """True if the ONNX model takes images of bytes and does the pixel part of the spec's preprocessing."""
    input_name: str = "input"
    output_name: str = "output"

    def __post_init__(self) -> None:
        """Raise UsageError for a number out of range, or an invalid name of a tensor."""
        ranges.BATCH.require(self.batch, "--batch")
        for option, name in (("--input-name", self.input_name), ("--output-name", self.output_name)):
            if not name or len(name) > MAX_TENSOR_NAME or not name.isprintable():
                message = f"{option}: {name!r} cannot be the name of a tensor"
                hint = f"1 to {MAX_TENSOR_NAME} printable characters"
                raise UsageError.of(Code.BAD_NAME, message, hint=hint)
        if self.input_name == self.output_name:
            message = f"--input-name and --output-name must differ, and both are {self.input_name!r}"
            raise UsageError.of(Code.BAD_NAME, message)


def format_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of FormatOptions from plain values, as a user writes them: `dialect="opencv"`.

    None stands for the default. Raises UsageError for a value of the wrong type, out of range or unknown.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for name in ("weights", "fold", "external_data", "embed_preprocess"):
        if name in values:
            require_flag(values[name], name)
    for name in ("batch", "opset"):
        if name in values:
            values[name] = require_int(values[name], name)
    for name in ("input_name", "output_name"):
        if name in values:
            values[name] = require_text(values[name], name)
    if "dialect" in values:
        values["dialect"] = choose(Dialect, values["dialect"], "--dialect")
    if "runtime" in values:
        values["runtime"] = find_profile(require_text(values["runtime"], "runtime"))
    return values
