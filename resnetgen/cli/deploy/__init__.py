"""Command resnetgen deploy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from resnetgen.cli.build import print_built
from resnetgen.cli.build_options import build_options, limit_blas_threads, to_options
from resnetgen.cli.deploy import kserve, triton
from resnetgen.cli.deploy.options import refuse_foreign
from resnetgen.cli.group import main
from resnetgen.cli.options import FilePath
from resnetgen.cli.progress import progress_bars

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _server_options(command: _Command) -> _Command:
    for option in reversed((*triton.OPTIONS, *kserve.OPTIONS)):
        command = option(command)
    return command


@main.command()
@click.argument("spec", metavar="SPEC")
@click.option(
    "--server", type=click.Choice(["triton", "kserve", "onnxruntime"]), required=True, help="Who is to serve it."
)
@click.option(
    "--output-dir",
    "-o",
    type=FilePath(),
    required=True,
    help="Triton's model repository, or the folder for KServe or ONNX Runtime.",
)
@click.option("--labels", type=FilePath(), metavar="FILE", help="The names of the classes, one a line.")
@_server_options
@build_options
def deploy(spec: str, server: str, **given: Any) -> None:
    """Write what a server loads: a model with its configuration, labels and preprocessing.

    \b
    triton:      <output-dir>/<name>/{config.pbtxt, labels.txt, <version>/model.onnx}
    kserve:      <output-dir>/{repository/ as Triton's, inferenceservice.yaml}
    onnxruntime: <output-dir>/{model.onnx, labels.txt, preprocess.json, manifest.json}

    Where the model stands in the repository already, a version is added to it; no version is ever changed.
    """
    limit_blas_threads(given)
    refuse_foreign(server)
    options = to_options(given, output_dir=given["output_dir"])
    with progress_bars() as progress:
        if server == "triton":
            from resnetgen.deploy.triton import deploy as to_triton

            built = to_triton(spec, options, triton.to_wanted(given), progress)
        elif server == "kserve":
            from resnetgen.deploy.kserve.deploy import deploy as to_kserve

            built = to_kserve(spec, options, triton.to_wanted(given), kserve.to_wanted(given), progress)
        else:
            from resnetgen.deploy.onnxruntime import deploy as to_onnxruntime

            built = to_onnxruntime(spec, options, given["labels"], progress)
    print_built([built])
