"""resnetgen deploy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.build import print_built
from resnetgen.cli.group import main
from resnetgen.cli.model import model_options, to_options
from resnetgen.cli.options import FilePath
from resnetgen.cli.show import progress_bars

if TYPE_CHECKING:
    from resnetgen.deploy.triton import Wanted

_TRITON = {
    "name": None,
    "model_version": None,
    "max_batch": 0,
    "preferred": (),
    "instances": 1,
    "device": "cpu",
    "tensorrt": None,
    "latest": 1,
}
"""The options that Triton alone knows, and their defaults."""


@main.command()
@click.argument("spec", metavar="SPEC")
@click.option("--server", type=click.Choice(["triton", "onnxruntime"]), required=True, help="Who is to serve it.")
@click.option(
    "--output-dir",
    "-o",
    type=FilePath(),
    required=True,
    help="Triton's model repository, or the folder for ONNX Runtime.",
)
@click.option("--labels", type=FilePath(), metavar="FILE", help="The names of the classes, one a line.")
@click.option("--name", help="Of the model in the repository.  [default: the spec's]")
@click.option("--model-version", type=click.IntRange(1), help="[default: the next one that is free]")
@click.option(
    "--max-batch",
    type=click.IntRange(0),
    default=_TRITON["max_batch"],
    show_default=True,
    help="The most images that Triton puts into one batch; 0: it batches nothing.",
)
@click.option(
    "--preferred-batch", "preferred", type=click.IntRange(1), multiple=True, help="A size that need not wait for more."
)
@click.option("--instances", type=click.IntRange(1), default=_TRITON["instances"], show_default=True)
@click.option("--device", type=click.Choice(["cpu", "gpu"]), default=_TRITON["device"], show_default=True)
@click.option("--tensorrt", type=click.Choice(["fp16", "fp32"]), help="Let TensorRT run it, in this precision.")
@click.option(
    "--latest",
    type=click.IntRange(1),
    default=_TRITON["latest"],
    show_default=True,
    help="How many versions are served at a time, from the newest on.",
)
@model_options
def deploy(spec: str, server: str, **given: Any) -> None:
    """Write what a server loads: a model with its configuration, labels and preprocessing.

    \b
    triton:      <output-dir>/<name>/{config.pbtxt, labels.txt, <version>/model.onnx}
    onnxruntime: <output-dir>/{model.onnx, labels.txt, preprocess.json, manifest.json}

    Where the model stands in the repository already, a version is added to it; no version is ever changed.
    """
    options = to_options(given, output_dir=given["output_dir"])
    if server == "onnxruntime" and (extra := [name for name, default in _TRITON.items() if given[name] != default]):
        raise click.UsageError(f"{_spelt(extra[0])} is for --server triton")
    with progress_bars() as progress:
        if server == "triton":
            from resnetgen.deploy import triton

            built = triton.deploy(spec, options, _wanted(given), progress)
        else:
            from resnetgen.deploy import served

            built = served.deploy(spec, options, given["labels"], progress)
    print_built(built)


def _wanted(given: dict[str, Any]) -> Wanted:
    from resnetgen.deploy.config import Device, Precision, Serving
    from resnetgen.deploy.triton import Wanted

    return Wanted(
        given["name"],
        given["model_version"],
        given["labels"],
        Serving(
            max_batch=given["max_batch"],
            preferred=tuple(sorted(set(given["preferred"]))),
            instances=given["instances"],
            device=Device(given["device"]),
            tensorrt=Precision(given["tensorrt"]) if given["tensorrt"] else None,
            latest=given["latest"],
        ),
    )


def _spelt(name: str) -> str:
    return "--preferred-batch" if name == "preferred" else f"--{name.replace('_', '-')}"
