"""Command resnetgen build."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.group import main
from resnetgen.cli.model import model_options, spare_blas, to_options
from resnetgen.cli.options import dialect_option, output_dir_option
from resnetgen.cli.output import print_line, report_on_files, say_warnings
from resnetgen.cli.show import progress_bars, size
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
    help="What to write; may be repeated. ir: the graph as text.",
)
@output_dir_option
@click.option("--no-weights", is_flag=True, help="Write the prototxt without a caffemodel.")
@click.option("--no-fold", is_flag=True, help="Keep batch norms in the ONNX model instead of folding them.")
@dialect_option
@model_options
def build(specs: tuple[str, ...], **given: Any) -> None:
    """Compile specs and write <output-dir>/<name>/<stem>.{onnx,prototxt,caffemodel,ir.txt} and manifest.json."""
    spare_blas(given)
    from resnetgen.build.run import build as build_all

    if given["dialect"] and "caffe" not in given["targets"]:
        raise click.UsageError("--dialect says how Caffe files are written; add --target caffe")
    if given["runtime"] and "onnx" not in given["targets"]:
        raise click.UsageError("--runtime says who loads the ONNX model; add --target onnx")
    if given["external_data"] and "onnx" not in given["targets"]:
        raise click.UsageError("--external-data is for the ONNX model; add --target onnx")
    if given["embed_preprocess"] and set(given["targets"]) != {"onnx"}:
        message = "--embed-preprocess is for --target onnx alone; Caffe's is said in <stem>.preprocess.json"
        raise click.UsageError(message)
    if given["precision"] != "fp32" and "onnx" not in given["targets"]:
        raise click.UsageError("--precision is that of the ONNX model; add --target onnx")
    if given["precision"] != "fp32" and given["no_fold"]:
        raise click.UsageError("norms are folded before the precision is lowered: leave out --no-fold or --precision")
    if given["pretrained"] and given["no_weights"]:
        raise click.UsageError("--weights and --no-weights contradict each other")
    if given["pretrained"] and len(specs) > 1:
        raise click.UsageError("a checkpoint is of one network: give one SPEC with --weights")
    options = _options(given)
    with progress_bars() as progress:
        built = build_all(specs, options, progress)
    print_built(built)


def _options(given: dict[str, Any]) -> Options:
    from resnetgen.build.options import Target
    from resnetgen.formats.caffe.dialect import Dialect

    return to_options(
        given,
        targets=tuple(dict.fromkeys(map(Target, given["targets"]))),
        output_dir=given["output_dir"],
        weights=not given["no_weights"],
        fold=not given["no_fold"],
        dialect=Dialect(given["dialect"] or "bvlc"),
    )


def print_built(built: Sequence[Built]) -> None:
    """Print the warnings of each build, the result of its verification, and the published files."""
    with report_on_files():
        for one in built:
            say_warnings(one.warnings)
            if one.report:
                print_report(one.report)
            if one.measured:
                print_line(f"{one.measured.precision}: {one.measured.said} ({one.measured.origin})")
            for path, entry in one.files.items():
                print_line(f"{path}  {size(entry.bytes)}  sha256 {entry.sha256[:16]}")
