"""Command resnetgen serve."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from resnetgen.cli.group import main
from resnetgen.cli.options import FILE_PATH
from resnetgen.cli.output import flush, print_line
from resnetgen.cli.startup import collect_again

if TYPE_CHECKING:
    from pathlib import Path

    from resnetgen.serve import Address


@main.command()
@click.argument("folder", type=FILE_PATH)
@click.option("--name", help="Name of the model in URLs.  [default: the spec's name]")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port; 0 for a free one.")
def serve(folder: Path, name: str | None, port: int) -> None:
    """Serve a model of `build` or `deploy --server onnxruntime` by the v2 protocol, on this machine only.

    It answers the requests that Triton and KServe answer, `classification` with labels included. Ctrl-C ends it.
    """
    from resnetgen.serve import serve as run

    collect_again()
    run(folder, name, port, lambda address: _print(folder, address))


def _print(folder: Path, address: Address) -> None:
    """Print the address of the server, and a command that sends it a request."""
    from shlex import quote
    from shutil import which

    program = next(filter(which, ("resnetgen", sys.argv[0])), "resnetgen")
    ask = f"{quote(program)} predict {quote(str(folder))} IMAGE --request"
    curl = f"curl -H 'Content-Type: application/json' -d @- {quote(f'{address.url}/infer')}"
    print_line(
        f"{address.served.model} is served as {address.name} at {address.url} until Ctrl-C. In another terminal:"
    )
    print_line(f"  {ask} | {curl}")
    flush()
