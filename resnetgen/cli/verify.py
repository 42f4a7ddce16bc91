"""resnetgen verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import json_option, output_dir_option, provider_option, settings_option
from resnetgen.cli.show import print_json, progress_bars

if TYPE_CHECKING:
    from resnetgen.verify import Report


@main.command()
@click.argument("model", metavar="SPEC|MODEL.onnx")
@output_dir_option
@settings_option
@provider_option
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Of the input, if it is dynamic.")
@click.option("--input-seed", type=click.IntRange(0), default=0, show_default=True, help="Of the random input.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True),
    default=1e-4,
    show_default=True,
    help="Largest difference, relative to a layer's largest value.",
)
@click.option("--layers", is_flag=True, help="Print every layer.")
@json_option
def verify(model: str, output_dir: Path, as_json: bool, layers: bool, **given: Any) -> None:
    """Run a built ONNX model on ONNX Runtime and compare it, layer by layer, with onnx's reference evaluator.

    For a SPEC it is the model that `build` wrote; the reference is the network as the spec says it, with norms unfolded
    and weights drawn anew. For MODEL.onnx it is the same, if the bundled spec that the file names can be found, else
    the file itself.
    """
    from resnetgen import compiler
    from resnetgen.runtimes.onnxruntime import Provider
    from resnetgen.verify import Settings

    settings = Settings(Provider(given["provider"] or "cpu"), given["batch"], given["input_seed"], given["tolerance"])
    with progress_bars() as progress, progress.task("running the model twice", 0):
        report = compiler.verify(model, output_dir, given["settings"], settings)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(report, layers)
    if not report.passed:
        raise report.failure()


def print_report(report: Report, layers: bool = False) -> None:
    for layer in report.layers if layers else ():
        mark = " " if layer.error <= report.tolerance else "!"
        print(f"{mark} {layer.error:9.2e}  {layer.name}  {layer.place}")
    print(f"{report.model}: {'equal' if report.passed else 'DIFFERENT'}")
    print(f"  ran on     {report.provider}, batch {report.batch}")
    print(f"  against    {report.reference}")
    largest = report.largest
    print(f"  difference {largest.error:.1e} at most, in {largest.name} (of {len(report.layers)} tensors)")
    print(f"  tolerance  {report.tolerance:.0e} of each tensor's largest value")
