"""Commands resnetgen weights show and resnetgen weights convert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import FILE_PATH, json_option, nonfinite_option, params_option, quiet_option, reinit_option
from resnetgen.cli.output import print_json, print_line, print_warnings
from resnetgen.cli.progress import progress_bars
from resnetgen.cli.report import format_bytes, print_file, report_on_files
from resnetgen.cli.table import Table, print_wrapped

if TYPE_CHECKING:
    from pathlib import Path


@main.group()
def weights() -> None:
    """List the tensors of a weight file, or convert it."""


@weights.command()
@click.argument("file", type=FILE_PATH)
@json_option
def show(file: Path, as_json: bool) -> None:
    """List the tensors of a weight file.

    Shows the name, the type and the shape of each tensor of a caffemodel, .safetensors, .pth, .onnx or .npz FILE,
    recognised by its content. --json adds the place in the file.
    """
    from resnetgen.weights.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(file)
    entries = checkpoint.tensors.values()
    if as_json:
        tensors = [
            {"name": e.name, "dtype": e.dtype, "shape": list(e.shape), "start": e.start, "end": e.end} for e in entries
        ]
        print_json({"format": checkpoint.format, "tensors": tensors})
        return
    table = Table("name", "type", "shape", optional=("type",))
    for entry in entries:
        table.add_row(entry.name, entry.dtype, "x".join(map(str, entry.shape)) or "scalar")
    table.print()
    total = sum(entry.nbytes for entry in entries)
    print_wrapped(f"{file}: {checkpoint.format}, {len(entries):,} tensors, {format_bytes(total)}")


@weights.command()
@click.argument("source", metavar="A", type=FILE_PATH)
@click.argument("target", metavar="B", type=FILE_PATH)
@click.option("--spec", required=True, metavar="SPEC", help="Network that the weights belong to.")
@click.option(
    "--names",
    metavar="MAP",
    help="Convention of the tensor names in a .safetensors or .npz file: torchvision, timm, or paths, which are "
    "resnetgen's own.  [default: that of A, or paths if A is a caffemodel]",
)
@params_option
@reinit_option
@nonfinite_option
@quiet_option
def convert(source: Path, target: Path, spec: str, names: str | None, **values: Any) -> None:
    """Convert the weights of file A to file B.

    The suffix of B chooses its format: .caffemodel, .safetensors or .npz. The format of A is recognised by its content.
    A must have all weights of SPEC, and no other tensors. Values keep their type in .safetensors and .npz files.
    """
    from resnetgen.build.convert import convert as convert_file
    from resnetgen.pretrained.pretrained import CheckpointSource

    checkpoint = CheckpointSource(source, values["reinit"], values["allow_nonfinite"])
    with progress_bars() as progress:
        result = convert_file(checkpoint, target, spec, values["params"], names, progress)
    print_warnings(result.warnings)
    with report_on_files():
        print_file(target, result.bytes, result.sha256)
        print_line(f"  {result.tensors} tensors by {result.names}, from {result.format} by {result.source_names}")
