"""Command resnetgen deploy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from resnetgen.cli.build import print_built
from resnetgen.cli.build_options import build_options, to_options
from resnetgen.cli.deploy import kserve, triton
from resnetgen.cli.deploy.options import refuse_other_servers
from resnetgen.cli.group import main
from resnetgen.cli.options import FILE_PATH
from resnetgen.cli.progress import progress_bars
from resnetgen.cli.startup import limit_blas_threads

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _server_options(command: _Command) -> _Command:
    for option in reversed((*triton.OPTIONS, *kserve.OPTIONS)):
        command = option(command)
    return command


@main.command()
@click.argument("spec", metavar="SPEC")
@click.option(
    "--server",
    type=click.Choice(["triton", "kserve", "onnxruntime"]),
    required=True,
    help="Server that loads the model.",
)
@click.option(
    "--output-dir",
    "-o",
    type=FILE_PATH,
    required=True,
    help="Model repository of Triton, or folder for KServe or ONNX Runtime.",
)
@click.option("--labels", type=FILE_PATH, metavar="FILE", help="Names of the classes, one per line.")
@_server_options
@build_options
def deploy(spec: str, server: str, **values: Any) -> None:
    """Write the files that a server loads: a model with its configuration, labels and preprocessing.

    \b
    triton:      <output-dir>/<name>/{config.pbtxt, labels.txt, <version>/model.onnx}
    kserve:      <output-dir>/{repository/ as Triton's, inferenceservice.yaml}
    onnxruntime: <output-dir>/{model.onnx, labels.txt, preprocess.json, manifest.json}

    If the repository has the model already, a new version is added; existing versions are never changed.
    """
    if not values["verified"]:
        limit_blas_threads()
    refuse_other_servers(server)
    options = to_options(values, output_dir=values["output_dir"])
    with progress_bars() as progress:
        if server == "triton":
            from resnetgen.deploy.triton import deploy as to_triton

            built = to_triton(spec, options, triton.to_model_options(values), progress)
        elif server == "kserve":
            from resnetgen.deploy.kserve.deploy import deploy as to_kserve

            built = to_kserve(
                spec, options, triton.to_model_options(values), kserve.to_service_options(values), progress
            )
        else:
            from resnetgen.deploy.onnxruntime import deploy as to_onnxruntime

            built = to_onnxruntime(spec, options, values["labels"], progress)
    print_built([built])
