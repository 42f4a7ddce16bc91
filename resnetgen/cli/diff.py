"""Command resnetgen diff."""

from __future__ import annotations

import sys
from typing import Any

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import dialect_option, input_size_option, json_option, params_option, quiet_option
from resnetgen.cli.output import print_json, print_lines
from resnetgen.cli.table import print_wrapped


@main.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--ignore-names", is_flag=True, help="Match layers by structure instead of by name.")
@click.option("--bytes", "as_bytes", is_flag=True, help="Compare the texts byte by byte.")
@dialect_option
@params_option
@input_size_option
@json_option
@quiet_option
def diff(a: str, b: str, ignore_names: bool, as_bytes: bool, as_json: bool, **values: Any) -> None:
    """Compare two networks. Exit code 0: equal, 1: different.

    A and B are prototxts or SPECs; a SPEC is compared as the prototxt that `build` would write. Defaults are filled in
    first. The order of fields, in-place names and the form of the input do not matter. Layers that resnetgen does not
    write are compared field by field. Fields for training (fillers, learning rates) are ignored.

    In a narrow terminal long lines are wrapped.
    """
    from resnetgen.comparison.diff import caffe_options, diff_text
    from resnetgen.comparison.diff import diff as compare

    if as_bytes and (ignore_names or as_json):
        raise click.UsageError("--bytes goes with neither --ignore-names nor --json")
    dialect, params, size = values["dialect"], values["params"], values["input_size"]
    if as_bytes:
        text = diff_text(a, b, caffe_options(a, b, dialect, params, size))
        print_lines(text.rstrip("\n") or "equal, byte for byte")
        sys.exit(1 if text else 0)
    difference = compare(a, b, ignore_names, dialect, params, size)
    if as_json:
        print_json(difference.to_json())
    else:
        print_wrapped(difference.render())
    sys.exit(0 if difference.equal else 1)
