"""Command resnetgen build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.build_options import build_options, to_options
from resnetgen.cli.group import main
from resnetgen.cli.options import FormatName, dialect_option, output_dir_option
from resnetgen.cli.output import print_line, print_warnings
from resnetgen.cli.progress import progress_bars
from resnetgen.cli.report import print_file, report_on_files
from resnetgen.cli.startup import limit_blas_threads
from resnetgen.cli.verify import print_report

if TYPE_CHECKING:
    from resnetgen.build.options import Built


@main.command()
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@click.option(
    "--target",
    "targets",
    type=FormatName(),
    multiple=True,
    default=["onnx"],
    show_default=True,
    help="Format to write; ir is the graph as text. May be repeated.",
)
@output_dir_option
@click.option("--no-weights", is_flag=True, help="Write the prototxt without a caffemodel.")
@click.option("--no-fold", is_flag=True, help="Keep the batch norms in the ONNX model; do not fold them.")
@dialect_option
@build_options
def build(specs: tuple[str, ...], **values: Any) -> None:
    """Compile specs to ONNX, Caffe or text.

    Writes <output-dir>/<name>/<name>.{onnx,prototxt,caffemodel,ir.txt} and manifest.json for each SPEC. Every file is
    read back and compared with the network before it is published.
    """
    if not values["verified"]:
        limit_blas_threads()
    from resnetgen.build.run import build as build_all

    options = to_options(values, weights=not values["no_weights"], fold=not values["no_fold"])
    with progress_bars() as progress:
        built = build_all(specs, options, progress)
    print_built(built)


def print_built(built: Sequence[Built]) -> None:
    """Print the warnings of each build, the result of its verification, and the published files."""
    with report_on_files():
        for result in built:
            print_warnings(result.warnings)
            if result.report:
                print_report(result.report)
            if measured := result.measured:
                print_line(f"{measured.precision}: {measured.summary} ({measured.origin})")
            for path, entry in result.files.items():
                print_file(path, entry.bytes, entry.sha256)
