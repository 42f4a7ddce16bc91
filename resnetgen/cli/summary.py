"""Command resnetgen summary."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import input_size_option, json_option, max_nodes_option, params_option
from resnetgen.cli.output import print_json
from resnetgen.cli.table import Table, print_wrapped

if TYPE_CHECKING:
    from resnetgen.summary import Counts, Summary


@main.command()
@click.argument("spec", metavar="SPEC", required=False)
@click.option("--block", metavar="ROW", help='Summarise one row, with --input as its input: "[3x3, 256; 3x3, 256]".')
@params_option
@input_size_option
@max_nodes_option
@json_option
def summary(
    spec: str | None,
    block: str | None,
    params: dict[str, int | float],
    input_size: str | None,
    max_nodes: int,
    as_json: bool,
) -> None:
    """Print the stage table with sizes, parameters and MACs.

    MACs and activations are those of convolutions and fully connected layers, for one image. A MAC is two FLOPs.

    In a narrow terminal columns are left out: FLOPs, activations, norm, biases, blocks, weights, output, in this order.
    """
    from resnetgen.network import compile_block, compile_spec

    if (spec is None) == (block is None):
        raise click.UsageError("give a SPEC, or --block with --input")
    if block is None:
        network = compile_spec(str(spec), params, max_nodes, input_size)
    elif input_size is None:
        raise click.UsageError("--block needs --input, such as 256x56x56")
    elif params:
        raise click.UsageError("--set is for a SPEC; write the numbers into --block")
    else:
        network = compile_block(block, input_size, max_nodes)
    result = network.summary()
    if as_json:
        print_json(result.to_json())
    else:
        _print_summary(result)


def _print_summary(result: Summary) -> None:
    total = result.total
    numbers = (">weights", ">biases", ">norm", ">MACs", ">FLOPs", ">activations")
    optional = ("FLOPs", "activations", "norm", "biases", "blocks", "weights", "output")
    footer = ("total", "", "", *_cells(total))
    table = Table("stage", "output", "blocks", *numbers, optional=optional, footer=footer)
    for stage in result.stages:
        table.add_row(stage.name, stage.output, stage.blocks, *_cells(stage.counts))
    params = "".join(f", {name}={value}" for name, value in result.params.items())
    print_wrapped(f"{result.title}: input {result.input}{params}, {result.nodes} nodes")
    table.print()
    print_wrapped(f"{total.parameters:,} parameters, {total.macs:,} MACs, {total.flops:,} FLOPs")


def _cells(counts: Counts) -> Iterator[str]:
    yield from (f"{exact:,}" for exact in (counts.weights, counts.biases, counts.norm))
    yield from map(_millions, (counts.macs, counts.flops, counts.activations))


def _millions(count: int) -> str:
    """Return a count in millions; below 10,000, which two decimals would not show, the count itself."""
    return f"{count / 1e6:,.2f} M" if count >= 10_000 else f"{count:,}"
