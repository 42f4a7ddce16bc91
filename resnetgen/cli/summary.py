"""Command resnetgen summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import image_option, json_option, max_nodes_option, settings_option
from resnetgen.cli.output import print_json, print_line
from resnetgen.cli.show import Table

if TYPE_CHECKING:
    from resnetgen.summary import Counts, Summary


@main.command()
@click.argument("spec", metavar="SPEC", required=False)
@click.option("--block", metavar="ROW", help='A row on its own, with --input: "[3x3, 256; 3x3, 256]".')
@settings_option
@image_option
@max_nodes_option
@json_option
def summary(
    spec: str | None, block: str | None, settings: Any, image: str | None, max_nodes: int, as_json: bool
) -> None:
    """Print the paper's table with computed sizes, parameters, MACs and activations."""
    from resnetgen.network import compile_block, compile_spec
    from resnetgen.summary import summarise

    if (spec is None) == (block is None):
        raise click.UsageError("give a SPEC, or --block with --input")
    if block is not None and image is None:
        raise click.UsageError("--block needs --input, such as 256x56x56")
    network = compile_block(block, image) if block and image else compile_spec(str(spec), settings, max_nodes, image)
    result = summarise(network.spec, network.graph)
    if as_json:
        print_json(result.to_json())
    else:
        _print_summary(result)


def _print_summary(result: Summary) -> None:
    total = result.total
    names = (">weights", ">biases", ">norm", ">MACs", ">FLOPs", ">activations")
    table = Table("stage", "output", "blocks", *names, footer=("total", "", "", *_numbers(total)))
    for stage in result.stages:
        table.add_row(stage.name, stage.output, stage.blocks, *_numbers(stage.counts))
    params = "".join(f", {name}={value}" for name, value in result.params.items())
    print_line(f"{result.title}: input {result.input}{params}, {result.nodes} nodes")
    table.print()
    print_line(f"{total.parameters:,} parameters, {total.macs:,} MACs, {total.flops:,} FLOPs")


def _numbers(counts: Counts) -> Iterator[str]:
    yield from (f"{exact:,}" for exact in (counts.weights, counts.biases, counts.norm))
    yield from map(_millions, (counts.macs, counts.flops, counts.activations))


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f} M"
