"""Options of the commands that make a model: its weights, its form, and whether it is run before it is published."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

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
    from resnetgen.job import Options

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option(
        "--init",
        type=click.Choice(["he", "random-stats"]),
        default="he",
        show_default=True,
        help="Initial weights; random-stats randomises norms and biases too, so that no fold can hide.",
    ),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the initial weights."),
    click.option(
        "--weights",
        "pretrained",
        type=FilePath(),
        metavar="FILE",
        help="A checkpoint: caffemodel, .safetensors, .pth, .onnx or .npz, told by its content.",
    ),
    reinit_option,
    nonfinite_option,
    click.option("--num-classes", type=click.IntRange(1), help="The same as --set classes=N."),
    click.option("--batch", type=click.IntRange(1), help="Fix the batch; else it is dynamic in ONNX and 1 in Caffe."),
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
        "--embed-preprocess",
        is_flag=True,
        help="Let the ONNX model take bytes, N x height x width x RGB, and do the spec's colour, scale, mean and std.",
    ),
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
    """Adds them all; `to_options` takes what they gave."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def to_options(given: dict[str, Any], **more: Any) -> Options:
    """The job that the command line asks for; `more`: what the command itself adds. Raises a usage error."""
    from resnetgen.job import Options
    from resnetgen.profiles import find_profile
    from resnetgen.weights.initialise import Init

    if given["provider"] and not given["verified"]:
        raise click.UsageError("--provider says where --verify runs the model; give both")
    if (given["reinit"] or given["allow_nonfinite"]) and not given["pretrained"]:
        raise click.UsageError("--reinit and --allow-nonfinite say what to take from --weights; give it, too")
    verify = pretrained = None
    if given["verified"]:
        from resnetgen.runtimes.onnxruntime import Provider
        from resnetgen.verify import Settings

        verify = Settings(Provider(given["provider"] or "cpu"))
    if given["pretrained"]:
        from resnetgen.pretrained import Source

        pretrained = Source(given["pretrained"], given["reinit"], given["allow_nonfinite"])
    classes = {"classes": given["num_classes"]} if given["num_classes"] else {}
    return Options(
        init=Init(given["init"]),
        seed=given["seed"],
        pretrained=pretrained,
        batch=given["batch"],
        opset=given["opset"],
        runtime=find_profile(given["runtime"]) if given["runtime"] else None,
        embed_preprocess=given["embed_preprocess"],
        input_name=given["input_name"],
        output_name=given["output_name"],
        settings=given["settings"] | classes,
        max_nodes=given["max_nodes"],
        image=given["image"],
        verify=verify,
        **more,
    )
