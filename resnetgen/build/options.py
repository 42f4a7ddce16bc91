"""Options and results of a build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from resnetgen import ranges
from resnetgen.arguments import (
    choose,
    refuse_unknown,
    require_flag,
    require_input_size,
    require_int,
    require_list,
    require_params,
    require_path,
)
from resnetgen.errors import Code, UsageError
from resnetgen.escape import escape, plural
from resnetgen.expand.builder import MAX_NODES
from resnetgen.formats import registry
from resnetgen.formats.format_options import FormatOptions, format_values
from resnetgen.manifest import FileEntry
from resnetgen.network import Network
from resnetgen.weights.initialise import Init

if TYPE_CHECKING:  # imported for type annotations only
    from resnetgen.precision.agreement import Measured
    from resnetgen.precision.precision_options import PrecisionOptions
    from resnetgen.pretrained.pretrained import CheckpointSource
    from resnetgen.verification import Report, Settings


class Options(FormatOptions, frozen=True):
    targets: tuple[str, ...] = ("onnx",)
    """Names of formats."""
    output_dir: Path = Path("generated")
    init: Init = Init.HE
    seed: int = 0
    pretrained: CheckpointSource | None = None
    """Checkpoint; None for drawn weights."""
    params: dict[str, int | float] = field(default_factory=dict)
    """Values of the parameters of a spec."""
    input_size: str | None = None
    """Input size in place of the spec's: 3x320x320."""
    max_nodes: int = MAX_NODES
    precision: PrecisionOptions | None = None
    """Precision of the ONNX model, if below fp32; None for fp32."""
    verify: Settings | None = None
    """Options for running the ONNX model before it is published; None if it is not run."""

    def __post_init__(self) -> None:
        """Raise UsageError for an unknown format, a number out of range, an invalid name, and for options that exclude
        each other."""
        super().__post_init__()
        ranges.SEED.require(self.seed, "--seed")
        ranges.NODES.require(self.max_nodes, "--max-nodes")
        for name in self.targets:
            registry.find(name)
        if not self.targets:
            message = f"no format to write; there are {', '.join(registry.names())}"
            raise UsageError.of(Code.BAD_ARGUMENT, message, hint="add --target onnx")
        for refused, message, hint in self._conflicts():
            if refused:
                raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)

    def _conflicts(self) -> tuple[tuple[object, str, str], ...]:
        """Return the options that exclude each other: a condition, the message and the hint of each pair."""
        is_onnx = "onnx" in self.targets
        add_onnx = "add --target onnx"
        return (
            (
                self.dialect and "caffe" not in self.targets,
                "--dialect is for the Caffe files",
                "add --target caffe",
            ),
            (self.runtime and not is_onnx, "--runtime is for the ONNX model", add_onnx),
            (self.opset and not is_onnx, "--opset is for the ONNX model", add_onnx),
            (
                self.external_data and not is_onnx,
                "--external-data is for the ONNX model",
                add_onnx,
            ),
            (
                self.embed_preprocess and set(self.targets) != {"onnx"},
                "--embed-preprocess is for --target onnx alone",
                "for Caffe see <name>.preprocess.json",
            ),
            (
                self.precision and not is_onnx,
                "--precision is for the ONNX model",
                add_onnx,
            ),
            (
                self.precision and not self.fold,
                "a precision below fp32 needs folded norms",
                "leave out --no-fold or --precision",
            ),
            (self.verify and not is_onnx, "there is no ONNX model to verify", add_onnx),
            (
                self.pretrained and not self.weights,
                "--weights and --no-weights contradict each other",
                "leave out one of them",
            ),
            (
                not self.weights and any(registry.find(name).needs_weights for name in self.targets),
                "an ONNX model holds its weights; none is written without",
                "leave out --no-weights, or --target onnx",
            ),
        )


_PRECISION = ("precision", "calibrate", "calibration_images", "min_top1", "min_cosine", "fp16_io")
_FORMAT = (
    "weights",
    "fold",
    "batch",
    "dialect",
    "opset",
    "runtime",
    "external_data",
    "embed_preprocess",
    "input_name",
    "output_name",
)
SAVE_OPTIONS = (*_FORMAT[1:], *_PRECISION, "verify", "provider")
"""Options of writing a network that is compiled, with its weights."""
BUILD_ARGUMENTS = (
    "weights",
    *SAVE_OPTIONS,
    "init",
    "seed",
    "checkpoint",
    "reinit",
    "allow_nonfinite",
    "params",
    "input_size",
    "max_nodes",
)


def make_options(targets: Any, output_dir: Any, **arguments: Any) -> Options:
    """Return options from plain values, as a user writes them: `precision="fp16"`, `dialect="opencv"`.

    None means the default. Raises UsageError for a value of the wrong type, out of range or unknown, and for
    options that exclude each other.
    """
    refuse_unknown(arguments, BUILD_ARGUMENTS, "make_options")
    values = {name: value for name, value in arguments.items() if value is not None}
    return Options(
        **format_values({name: values[name] for name in _FORMAT if name in values}),
        **_weight_values(values),
        **_spec_values(values),
        targets=tuple(dict.fromkeys(require_list(targets, "targets"))),
        output_dir=require_path(output_dir, "output_dir"),
        precision=_precision({name: values[name] for name in _PRECISION if name in values}),
        verify=_verification(values),
    )


def _weight_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the initial weights and of the checkpoint."""
    read: dict[str, Any] = {}
    if "init" in values:
        read["init"] = choose(Init, values["init"], "--init")
    if "seed" in values:
        read["seed"] = require_int(values["seed"], "seed")
    reinit = tuple(require_list(values.get("reinit", ()), "reinit"))
    allow_nonfinite = require_flag(values.get("allow_nonfinite", False), "allow_nonfinite")
    if "checkpoint" in values:
        from resnetgen.pretrained.pretrained import CheckpointSource

        read["pretrained"] = CheckpointSource(require_path(values["checkpoint"], "weights"), reinit, allow_nonfinite)
    elif reinit or allow_nonfinite:
        message = "--reinit and --allow-nonfinite apply to a checkpoint"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="add --weights")
    return read


def _spec_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the spec's parameters, its input size, and the limit of nodes."""
    read: dict[str, Any] = {}
    if "params" in values:
        read["params"] = require_params(values["params"])
    if "input_size" in values:
        read["input_size"] = require_input_size(values["input_size"])
    if "max_nodes" in values:
        read["max_nodes"] = require_int(values["max_nodes"], "max_nodes")
    return read


def _verification(values: Mapping[str, Any]) -> Settings | None:
    """Return the options of a verification; None if there is none."""
    if not require_flag(values.get("verify", False), "verify"):
        if "provider" in values:
            message = "--provider chooses where --verify runs the model"
            raise UsageError.of(Code.BAD_ARGUMENT, message, hint="add --verify")
        return None
    from resnetgen.backends.onnxruntime import Provider
    from resnetgen.verification import Settings

    return Settings(choose(Provider, values.get("provider", "cpu"), "--provider"))


def _precision(arguments: Mapping[str, Any]) -> PrecisionOptions | None:
    """Return the options of a lower precision; None for fp32. Raises UsageError for options of another precision."""
    if arguments.get("precision", "fp32") != "fp32":
        from resnetgen.precision.precision_options import precision_options

        return precision_options(**arguments)
    for name, value in arguments.items():
        if name != "precision" and value is not False:
            message = f"--{name.replace('_', '-')} is for a precision below fp32"
            raise UsageError.of(Code.BAD_ARGUMENT, message, hint="add --precision")
    return None


class Built(Struct, frozen=True):
    """Result of a build of one network."""

    network: Network
    files: dict[Path, FileEntry]
    report: Report | None = None
    """Result of verification; None if it was not asked for."""
    measured: Measured | None = None
    """Agreement of a model of lower precision with fp32; None if there is none."""
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        results = [", ".join(escape(str(path)) for path in self.files)]
        if self.report:
            results.append("equal" if self.report.passed else "different")
        if self.measured:
            results.append(self.measured.summary)
        if self.warnings:
            results.append(plural(len(self.warnings), "warning"))
        return f"<Built {escape(self.network.spec.name)}: {'; '.join(results)}>"
