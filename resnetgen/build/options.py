"""Inputs and results of a build."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from resnetgen import ranges
from resnetgen.errors import Code, Exit, fail
from resnetgen.expand.builder import MAX_NODES
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.manifest import Entry
from resnetgen.network import Network
from resnetgen.profiles import Profile
from resnetgen.weights.initialise import Init

if TYPE_CHECKING:  # imported for type annotations only
    from resnetgen.precision.agreement import Measured
    from resnetgen.precision.options import PrecisionOptions
    from resnetgen.pretrained import Source
    from resnetgen.verify import Report, Settings


MAX_TENSOR_NAME = 256
"""Limit in characters of the name of an input or an output; a spec's names have the same."""


class Target(StrEnum):
    ONNX = "onnx"
    CAFFE = "caffe"
    IR = "ir"


class Progress(Protocol):
    """Receiver of progress: `task("what", total)` gives a function that is called with the size of each part done."""

    def task(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]: ...


class Quiet:
    def task(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(lambda _: None)


class Options(Struct, frozen=True):
    targets: tuple[Target, ...] = (Target.ONNX,)
    output_dir: Path = Path("generated")
    init: Init = Init.HE
    seed: int = 0
    weights: bool = True
    pretrained: Source | None = None
    """Checkpoint; None for drawn weights."""
    fold: bool = True
    batch: int | None = None
    dialect: Dialect = Dialect.BVLC
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
    params: dict[str, int | float] = field(default_factory=dict)
    max_nodes: int = MAX_NODES
    input_size: str | None = None
    """Input size in place of the spec's: 3x320x320."""
    precision: PrecisionOptions | None = None
    """Precision of the ONNX model, if below fp32; None for fp32."""
    verify: Settings | None = None
    """Options for running the ONNX model before it is published; None if it is not run."""

    def __post_init__(self) -> None:
        """Raise Failure (exit 2) for a number out of range, or an invalid name of a tensor."""
        ranges.BATCH.require(self.batch, "--batch")
        ranges.SEED.require(self.seed, "--seed")
        ranges.NODES.require(self.max_nodes, "--max-nodes")
        for option, name in (("--input-name", self.input_name), ("--output-name", self.output_name)):
            if not name or len(name) > MAX_TENSOR_NAME or not name.isprintable():
                message = f"{option}: {name!r} cannot be the name of a tensor"
                hint = f"1 to {MAX_TENSOR_NAME} printable characters"
                raise fail(Exit.USAGE, Code.BAD_NAME, message, hint=hint)
        if self.input_name == self.output_name:
            message = f"--input-name and --output-name must differ, and both are {self.input_name!r}"
            raise fail(Exit.USAGE, Code.BAD_NAME, message)


class Built(Struct, frozen=True):
    """Result of a build of one spec."""

    network: Network
    files: dict[Path, Entry]
    report: Report | None = None
    measured: Measured | None = None
    """Agreement of a model of lower precision with fp32; None if there is none."""
    warnings: tuple[str, ...] = ()
