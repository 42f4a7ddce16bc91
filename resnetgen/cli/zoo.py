"""Commands resnetgen list and resnetgen schema."""

from __future__ import annotations

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import json_option
from resnetgen.cli.output import print_error, print_json, print_lines
from resnetgen.cli.table import Table


@main.command("list")
@click.argument("pattern", required=False)
@json_option
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--names", "only_names", is_flag=True, help="Print only the names.")
def list_specs(pattern: str | None, as_json: bool, as_markdown: bool, only_names: bool) -> None:
    """List the bundled specs.

    Shows the input size, the parameters, the MACs and the targets of each. PATTERN is a part of the name, or a pattern
    such as "torchvision/*".

    In a narrow terminal targets and input are left out.
    """
    from resnetgen.zoo import entries, markdown, matching

    names = matching(pattern or "")
    if only_names:
        print_lines("\n".join(names))
    elif as_markdown:
        print_lines(markdown(entries(names)).rstrip("\n"))
    elif as_json:
        print_json([entry.to_json() for entry in entries(names)])
    elif names:
        table = Table("spec", "input", ">parameters", ">GMACs", "targets", optional=("targets", "input"))
        for entry in entries(names):
            targets = ", ".join(entry.targets)
            table.add_row(entry.name, entry.input, f"{entry.parameters:,}", f"{entry.macs / 1e9:.3f}", targets)
        table.print()
    else:
        print_error(f"no bundled spec matches {pattern!r}")


@main.command()
def schema() -> None:
    """Print the JSON Schema of specs, for editors."""
    from resnetgen.spec.json_schema import json_schema

    print_json(json_schema())
