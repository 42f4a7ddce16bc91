"""Options of the commands that build a model: weights, format, precision and verification."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from resnetgen import ranges
from resnetgen.cli.options import (
    FilePath,
    image_option,
    max_nodes_option,
    nonfinite_option,
    provider_option,
    reinit_option,
    settings_option,
)

if TYPE_CHECKING:
    from resnetgen.build.options import Options
    from resnetgen.precision.options import PrecisionOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option(
        "--init",
        type=click.Choice(["he", "random-stats"]),
        default="he",
        show_default=True,
        help="Initial weights: he draws from a normal distribution in 65,536 steps, up to 4.3 deviations; random-stats "
        "randomises norms and biases too, so that no fold can hide.",
    ),
    click.option(
        "--seed", type=click.IntRange(*ranges.SEED), default=0, show_default=True, help="Of the initial weights."
    ),
    click.option(
        "--weights",
        "pretrained",
        type=FilePath(),
        metavar="FILE",
        help="A checkpoint: caffemodel, .safetensors, .pth, .onnx or .npz, told by its content.",
    ),
    reinit_option,
    nonfinite_option,
    click.option("--num-classes", type=click.IntRange(*ranges.TOP), help="The same as --set classes=N."),
    click.option(
        "--batch",
        type=click.IntRange(*ranges.BATCH),
        help="Fix the batch; else it is dynamic in ONNX and 1 in Caffe.",
    ),
    click.option(
        "--runtime",
        metavar="NAME",
        help="The server that must load the ONNX model: triton-24.08, ort-1.15; `resnetgen runtimes` lists them.",
    ),
    click.option(
        "--opset",
        type=int,
        help="ONNX opset; the IR version follows from it.  [default: 17, or what --runtime loads where that is less]",
    ),
    click.option(
        "--external-data",
        is_flag=True,
        help="Put the ONNX model's weights into a file beside it, MODEL.onnx.data, which a runtime maps into memory.",
    ),
    click.option(
        "--embed-preprocess",
        is_flag=True,
        help="Let the ONNX model take bytes, N x height x width x RGB, and do the spec's colour, scale, mean and std.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["fp32", "fp16", "int8"]),
        default="fp32",
        show_default=True,
        help="Of the ONNX model; below fp32 it is published if it agrees with the model in fp32.",
    ),
    click.option(
        "--calibrate",
        metavar="FOLDER|random",
        help="The images that int8 is fitted to, and a precision is measured on: a folder of them, or a .npy file.",
    ),
    click.option(
        "--calibration-images",
        type=click.IntRange(*ranges.IMAGES),
        metavar="N",
        help="[default: 16 random ones, or up to 256 of a folder]",
    ),
    click.option("--min-top1", type=click.FloatRange(0, 1), help="[default: 0.99 for fp16, 0.9 for int8]"),
    click.option("--min-cosine", type=click.FloatRange(-1, 1), help="[default: 0.9999 for fp16, 0.99 for int8]"),
    click.option("--fp16-io", is_flag=True, help="Let an fp16 model take and give fp16, too."),
    click.option("--input-name", default="input", show_default=True, help="Of the ONNX model."),
    click.option("--output-name", default="output", show_default=True, help="Of the ONNX model."),
    settings_option,
    image_option,
    provider_option,
    click.option(
        "--verify",
        "verified",
        is_flag=True,
        help="Run the ONNX model before it is published, and hold it against a second engine.",
    ),
    max_nodes_option,
)


def model_options(command: _Command) -> _Command:
    """Add all model options to a command; `to_options` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def spare_blas(given: dict[str, Any]) -> None:
    """Keep numpy, not imported yet, from starting BLAS threads if no matrices are multiplied.

    Only the reference evaluator, for --verify, multiplies matrices. Otherwise the idle threads would spin, and take a
    quarter of the computing time of a build.
    """
    if not given["verified"]:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def to_options(given: dict[str, Any], **more: Any) -> Options:
    """Return the options of a build from the command line's; `more` are those that the command adds. Raises a usage
    error for options that contradict each other."""
    from resnetgen.build.options import Options
    from resnetgen.profiles import find_profile
    from resnetgen.weights.initialise import Init

    if given["provider"] and not given["verified"]:
        raise click.UsageError("--provider says where --verify runs the model; give both")
    if (given["reinit"] or given["allow_nonfinite"]) and not given["pretrained"]:
        raise click.UsageError("--reinit and --allow-nonfinite say what to take from --weights; give it, too")
    verify = pretrained = None
    if given["verified"]:
        from resnetgen.backends.onnxruntime import Provider
        from resnetgen.verify import Settings

        verify = Settings(Provider(given["provider"] or "cpu"))
    if given["pretrained"]:
        from resnetgen.pretrained import Source

        pretrained = Source(given["pretrained"], given["reinit"], given["allow_nonfinite"])
    precision = _precision(given)
    classes = {"classes": given["num_classes"]} if given["num_classes"] else {}
    return Options(
        init=Init(given["init"]),
        seed=given["seed"],
        pretrained=pretrained,
        batch=given["batch"],
        opset=given["opset"],
        runtime=find_profile(given["runtime"]) if given["runtime"] else None,
        external_data=given["external_data"],
        embed_preprocess=given["embed_preprocess"],
        input_name=given["input_name"],
        output_name=given["output_name"],
        settings=given["settings"] | classes,
        max_nodes=given["max_nodes"],
        image=given["image"],
        precision=precision,
        verify=verify,
        **more,
    )


_OF_PRECISION = ("calibrate", "calibration_images", "min_top1", "min_cosine", "fp16_io")


def _precision(given: dict[str, Any]) -> PrecisionOptions | None:
    """Return the options of a lower precision; None for fp32. Raises a usage error for options of another precision."""
    if given["precision"] == "fp32":
        if extra := [name for name in _OF_PRECISION if given[name] not in (None, False)]:
            raise click.UsageError(f"--{extra[0].replace('_', '-')} is for a precision below fp32; add --precision")
        return None
    from pathlib import Path

    from resnetgen.formats.onnx.dtypes import FloatType
    from resnetgen.formats.onnx.precision import Precision
    from resnetgen.precision.options import TOLERANCES, PrecisionOptions, Tolerance

    precision = Precision(given["precision"])
    if precision is Precision.INT8 and not given["calibrate"]:
        raise click.UsageError("int8 is fitted to images: --calibrate with a folder of them, or --calibrate random")
    if precision is Precision.INT8 and given["fp16_io"]:
        raise click.UsageError("--fp16-io is for --precision fp16")
    usual = TOLERANCES[precision]
    tolerance = Tolerance(
        usual.top1 if given["min_top1"] is None else given["min_top1"],
        usual.cosine if given["min_cosine"] is None else given["min_cosine"],
    )
    images = Path(given["calibrate"]) if given["calibrate"] not in (None, "random") else None
    outer = FloatType.FP16 if given["fp16_io"] else FloatType.FP32
    return PrecisionOptions(precision, tolerance, images, given["calibration_images"], outer)
