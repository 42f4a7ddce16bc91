"""Commands resnetgen weights show and resnetgen weights convert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import FilePath, json_option, nonfinite_option, reinit_option, settings_option
from resnetgen.cli.output import print_json, print_line, report_on_files, say_warnings
from resnetgen.cli.show import progress_bars, size

if TYPE_CHECKING:
    from pathlib import Path


@main.group()
def weights() -> None:
    """Look into a weight file, or write one format from another."""


@weights.command()
@click.argument("file", type=FilePath())
@json_option
def show(file: Path, as_json: bool) -> None:
    """List the tensors of a caffemodel, .safetensors, .pth, .onnx or .npz file: name, type, shape, place."""
    from resnetgen.weights.checkpoint import open_checkpoint

    checkpoint = open_checkpoint(file)
    entries = checkpoint.entries.values()
    if as_json:
        tensors = [
            {"name": e.name, "dtype": e.dtype, "shape": list(e.shape), "start": e.start, "end": e.end} for e in entries
        ]
        print_json({"format": checkpoint.format, "tensors": tensors})
        return
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        shape = "x".join(map(str, entry.shape)) or "a number"
        print_line(f"{entry.name:<{width}}  {entry.dtype:<8}  {shape}")
    total = sum(entry.nbytes for entry in entries)
    print_line(f"{file}: {checkpoint.format}, {len(entries):,} tensors, {size(total)}")


@weights.command()
@click.argument("source", metavar="A", type=FilePath())
@click.argument("target", metavar="B", type=FilePath())
@click.option("--spec", required=True, metavar="SPEC", help="The network that both are of.")
@click.option(
    "--names",
    metavar="MAP",
    help="Whose names a .safetensors or .npz file bears: torchvision, timm, or paths (those of resnetgen). "
    "Without it A's own, or paths where A is a caffemodel.",
)
@settings_option
@reinit_option
@nonfinite_option
def convert(source: Path, target: Path, spec: str, names: str | None, **given: Any) -> None:
    """Write the weights of A as B: a .caffemodel, .safetensors or .npz file, by its suffix.

    A is told by its content. Every tensor must be a weight of SPEC, and every weight of SPEC must be there. Values of
    .safetensors and .npz files keep their type.
    """
    from resnetgen.build.convert import convert as run
    from resnetgen.pretrained import Source

    taken = Source(source, given["reinit"], given["allow_nonfinite"])
    with progress_bars() as progress:
        done = run(taken, target, spec, given["settings"], names, progress)
    say_warnings(done.warnings)
    with report_on_files():
        print_line(f"{target}  {size(done.bytes)}  sha256 {done.sha256[:16]}")
        print_line(f"  {done.tensors} tensors by {done.names}, from {done.format} by {done.source_names}")
