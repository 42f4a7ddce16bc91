"""Command resnetgen runtimes."""

from __future__ import annotations

from resnetgen.cli.group import main
from resnetgen.cli.options import json_option
from resnetgen.cli.output import print_json
from resnetgen.cli.table import Table


@main.command()
@json_option
def runtimes(as_json: bool) -> None:
    """List the servers that --runtime accepts.

    Shows the ONNX Runtime of each, and the newest opset and IR version that it loads; --json adds the sources.

    In a narrow terminal the column of ONNX Runtime is left out.
    """
    from resnetgen.profiles import profiles

    if as_json:
        print_json([profile.to_json() for profile in profiles().values()])
        return
    table = Table("runtime", ">ONNX Runtime", ">opset", ">IR version", optional=("ONNX Runtime",))
    for profile in profiles().values():
        table.add_row(profile.name, profile.onnxruntime, str(profile.opset), str(profile.ir))
    table.print()
