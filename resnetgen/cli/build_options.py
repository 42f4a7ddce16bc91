"""Options of `build` and `deploy`: weights, format, precision and verification."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from resnetgen import ranges
from resnetgen.cli.options import (
    FILE_PATH,
    input_size_option,
    max_nodes_option,
    nonfinite_option,
    params_option,
    provider_option,
    quiet_option,
    reinit_option,
)

if TYPE_CHECKING:
    from resnetgen.build.options import Options

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option(
        "--init",
        type=click.Choice(["he", "random-stats"]),
        default="he",
        show_default=True,
        help="Initial weights. he: the normal distribution of He et al., in 65,536 steps, up to 4.3 deviations; "
        "random-stats: random norms and biases as well, so that a mistake in folding cannot hide.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(*ranges.SEED),
        default=0,
        show_default=True,
        metavar="N",
        help="Seed of the initial weights.",
    ),
    click.option(
        "--weights",
        "pretrained",
        type=FILE_PATH,
        metavar="FILE",
        help="Take the weights from a checkpoint: a caffemodel, .safetensors, .pth, .onnx or .npz file, recognised by "
        "its content.",
    ),
    reinit_option,
    nonfinite_option,
    click.option(
        "--num-classes",
        type=click.IntRange(*ranges.TOP),
        metavar="N",
        help="Number of classes; the same as --set classes=N.",
    ),
    click.option(
        "--batch",
        type=click.IntRange(*ranges.BATCH),
        metavar="N",
        help="Fix the batch size.  [default: dynamic in ONNX, 1 in Caffe]",
    ),
    click.option(
        "--runtime",
        metavar="NAME",
        help="Server that must load the ONNX model, such as triton-24.08; `resnetgen runtimes` lists them.",
    ),
    click.option(
        "--opset",
        type=int,
        metavar="N",
        help="ONNX opset; the IR version follows from it.  [default: 17, or the newest that --runtime loads, if older]",
    ),
    click.option(
        "--external-data",
        is_flag=True,
        help="Write the ONNX model's weights into a file beside it, MODEL.onnx.data, which a runtime maps into memory.",
    ),
    click.option(
        "--embed-preprocess",
        is_flag=True,
        help="Build the spec's colour order, scale, mean and std into the ONNX model, which then takes 8-bit images: "
        "N x height x width x RGB.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["fp32", "fp16", "int8"]),
        default="fp32",
        show_default=True,
        help="Precision of the ONNX model. A model below fp32 is published only if it agrees with the one in fp32.",
    ),
    click.option(
        "--calibrate",
        metavar="FOLDER|FILE.npy|random",
        help="Images from which int8 takes its ranges, and on which a model below fp32 is compared with fp32.",
    ),
    click.option(
        "--calibration-images",
        type=click.IntRange(*ranges.IMAGES),
        metavar="N",
        help="Number of images of --calibrate.  [default: 16 random ones, or up to 256 of a folder]",
    ),
    click.option(
        "--min-top1",
        type=click.FloatRange(0, 1),
        metavar="X",
        help="Least share of images with the same top class as in fp32.  [default: 0.99 for fp16, 0.9 for int8]",
    ),
    click.option(
        "--min-cosine",
        type=click.FloatRange(-1, 1),
        metavar="X",
        help="Least cosine similarity with the outputs in fp32.  [default: 0.9999 for fp16, 0.99 for int8]",
    ),
    click.option("--fp16-io", is_flag=True, help="Use fp16 for the input and the output of an fp16 model, too."),
    click.option("--input-name", default="input", show_default=True, help="Name of the ONNX model's input."),
    click.option("--output-name", default="output", show_default=True, help="Name of the ONNX model's output."),
    params_option,
    input_size_option,
    provider_option,
    click.option(
        "--verify",
        "verified",
        is_flag=True,
        help="Before publishing, run the ONNX model and compare it, layer by layer, with a second engine.",
    ),
    max_nodes_option,
    quiet_option,
)


def build_options(command: _Command) -> _Command:
    """Add the options of a build to a command; `to_options` takes their values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def to_options(values: dict[str, Any], **more: Any) -> Options:
    """Return the options of a build from the values of `build_options`; `more` are those of the command itself.

    Raises UsageError for options that contradict each other.
    """
    from resnetgen.build.options import BUILD_ARGUMENTS, make_options

    classes = {"classes": values["num_classes"]} if values["num_classes"] else {}
    plain = {name: values[name] for name in BUILD_ARGUMENTS if name in values} | {
        "checkpoint": values["pretrained"],
        "weights": True,
        "params": values["params"] | classes,
        "verify": values["verified"],
    }
    folder = more.pop("output_dir", None) or values["output_dir"]
    return make_options(values.get("targets", ["onnx"]), folder, **plain | more)
