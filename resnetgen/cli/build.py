"""Command resnetgen build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.build_options import build_options, limit_blas_threads, to_options
from resnetgen.cli.group import main
from resnetgen.cli.options import dialect_option, output_dir_option
from resnetgen.cli.output import print_line, print_warnings
from resnetgen.cli.progress import progress_bars
from resnetgen.cli.report import print_file, report_on_files
from resnetgen.cli.verify import print_report

if TYPE_CHECKING:
    from resnetgen.build.options import Built, Options


@main.command()
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@click.option(
    "--target",
    "targets",
    type=click.Choice(["onnx", "caffe", "ir"]),
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
    limit_blas_threads(values)
    from resnetgen.build.run import build as build_all

    if values["dialect"] and "caffe" not in values["targets"]:
        raise click.UsageError("--dialect is for the Caffe files; add --target caffe")
    if values["runtime"] and "onnx" not in values["targets"]:
        raise click.UsageError("--runtime is for the ONNX model; add --target onnx")
    if values["external_data"] and "onnx" not in values["targets"]:
        raise click.UsageError("--external-data is for the ONNX model; add --target onnx")
    if values["embed_preprocess"] and set(values["targets"]) != {"onnx"}:
        message = "--embed-preprocess is for --target onnx alone; for Caffe see <name>.preprocess.json"
        raise click.UsageError(message)
    if values["precision"] != "fp32" and "onnx" not in values["targets"]:
        raise click.UsageError("--precision is for the ONNX model; add --target onnx")
    if values["precision"] != "fp32" and values["no_fold"]:
        raise click.UsageError("a precision below fp32 needs folded norms: leave out --no-fold or --precision")
    if values["pretrained"] and values["no_weights"]:
        raise click.UsageError("--weights and --no-weights contradict each other")
    if values["pretrained"] and len(specs) > 1:
        raise click.UsageError("a checkpoint belongs to one network: give one SPEC with --weights")
    options = _options(values)
    with progress_bars() as progress:
        built = build_all(specs, options, progress)
    print_built(built)


def _options(values: dict[str, Any]) -> Options:
    from resnetgen.build.options import Target
    from resnetgen.formats.caffe.dialect import Dialect

    return to_options(
        values,
        targets=tuple(dict.fromkeys(map(Target, values["targets"]))),
        output_dir=values["output_dir"],
        weights=not values["no_weights"],
        fold=not values["no_fold"],
        dialect=Dialect(values["dialect"] or "bvlc"),
    )


def print_built(built: Sequence[Built]) -> None:
    """Print the warnings of each build, the result of its verification, and the published files."""
    with report_on_files():
        for result in built:
            print_warnings(result.warnings)
            if result.report:
                print_report(result.report)
            if measured := result.measured:
                print_line(f"{measured.precision}: {measured.said} ({measured.origin})")
            for path, entry in result.files.items():
                print_file(path, entry.bytes, entry.sha256)
