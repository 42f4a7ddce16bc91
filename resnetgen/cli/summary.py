"""resnetgen summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import image_option, json_option, max_nodes_option, settings_option
from resnetgen.cli.show import print_json, print_table

if TYPE_CHECKING:
    from resnetgen.summary import Summary


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
    from resnetgen.compiler import compile_block, compile_spec
    from resnetgen.summary import summarise

    if (spec is None) == (block is None):
        raise click.UsageError("give a SPEC, or --block with --input")
    if block is not None and image is None:
        raise click.UsageError("--block needs --input, such as 256x56x56")
    compiled = compile_block(block, image) if block and image else compile_spec(str(spec), settings, max_nodes, image)
    result = summarise(compiled.spec, compiled.graph)
    if as_json:
        print_json(result.to_json())
    else:
        _print_summary(result)


def _print_summary(result: Summary) -> None:
    from rich import box
    from rich.table import Table

    total = result.total
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    for name, footer in (("stage", "total"), ("output", ""), ("blocks", "")):
        table.add_column(name, footer, overflow="fold")
    exact = ("weights", "biases", "norm")
    rounded = {"macs": "MACs", "flops": "FLOPs", "activations": "activations"}
    for name in exact:
        table.add_column(name, f"{getattr(total, name):,}", justify="right", no_wrap=True)
    for name, label in rounded.items():
        table.add_column(label, _millions(getattr(total, name)), justify="right", no_wrap=True)
    for stage in result.stages:
        numbers = [f"{getattr(stage.counts, name):,}" for name in exact]
        numbers += [_millions(getattr(stage.counts, name)) for name in rounded]
        table.add_row(stage.name, stage.output, stage.blocks, *numbers)
    params = "".join(f", {name}={value}" for name, value in result.params.items())
    print(f"{result.title}: input {result.input}{params}, {result.nodes} nodes")
    print_table(table)
    print(f"{total.parameters:,} parameters, {total.macs:,} MACs, {total.flops:,} FLOPs")


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f} M"
