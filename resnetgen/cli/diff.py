"""Command resnetgen diff."""

from __future__ import annotations

import sys
from typing import Any

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import dialect_option, image_option, json_option, settings_option
from resnetgen.cli.output import print_json, print_lines


@main.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option("--ignore-names", is_flag=True, help="Match layers by structure instead of by name.")
@click.option("--bytes", "as_bytes", is_flag=True, help="Compare the text, byte by byte.")
@dialect_option
@settings_option
@image_option
@json_option
def diff(a: str, b: str, ignore_names: bool, as_bytes: bool, as_json: bool, **given: Any) -> None:
    """Compare two networks by meaning: each a prototxt, or a SPEC. Exit 0: equal, 1: different.

    Defaults are filled in, the order of fields and in-place naming do not count, `input` equals an Input layer. Layers
    that resnetgen does not emit are compared as they are written. What only training uses (fillers, learning rates) is
    left out.
    """
    from resnetgen.diff import spec as differences
    from resnetgen.formats.caffe.dialect import Dialect

    if as_bytes and (ignore_names or as_json):
        raise click.UsageError("--bytes goes with neither --ignore-names nor --json")
    written = differences.AsCaffe(given["settings"], given["image"], Dialect(given["dialect"] or "bvlc"))
    if as_bytes:
        text = differences.compare_text(a, b, written)
        print_lines(text.rstrip("\n") or "equal, byte for byte")
        sys.exit(1 if text else 0)
    difference = differences.compare(a, b, written, ignore_names)
    if as_json:
        print_json(difference.to_json())
    else:
        print_lines(difference.render())
    sys.exit(0 if difference.equal else 1)
