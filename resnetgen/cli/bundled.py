"""Commands resnetgen list and resnetgen schema."""

from __future__ import annotations

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import json_option
from resnetgen.cli.output import print_json, print_line, print_lines, say


@main.command("list")
@click.argument("pattern", required=False)
@json_option
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option("--names", "only_names", is_flag=True, help="Print the names alone.")
def list_specs(pattern: str | None, as_json: bool, as_markdown: bool, only_names: bool) -> None:
    """List the bundled specs: parameters, MACs, input, and the targets that can express them.

    PATTERN is a part of the name, or a pattern such as "torchvision/*".
    """
    from resnetgen.zoo import entries, markdown, matching

    if only_names:
        print_lines("\n".join(matching(pattern or "")))
        return
    names = matching(pattern or "")
    if as_markdown:
        print_lines(markdown(entries(names)).rstrip("\n"))
        return
    if as_json:
        print_json([entry.to_json() for entry in entries(names)])
        return
    width = max(map(len, names), default=0)
    for entry in entries(names):
        numbers = f"{entry.parameters:>13,} parameters  {entry.macs / 1e9:>7.3f} GMACs"
        print_line(f"{entry.name:<{width}}  {entry.input:>9}  {numbers}  {', '.join(entry.targets)}")
    if not names:
        say(f"no bundled spec matches {pattern!r}")


@main.command()
def schema() -> None:
    """Print the JSON Schema of specs, for editors."""
    from resnetgen.spec.schema import json_schema

    print_json(json_schema())
