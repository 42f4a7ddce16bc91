"""Command resnetgen runtimes."""

from __future__ import annotations

from resnetgen.cli.group import main
from resnetgen.cli.options import json_option
from resnetgen.cli.output import print_json
from resnetgen.cli.show import Table


@main.command()
@json_option
def runtimes(as_json: bool) -> None:
    """List the servers that --runtime knows: their ONNX Runtime, and the newest opset and IR version that it loads.

    --json has the source of each line, too.
    """
    from resnetgen.profiles import profiles

    if as_json:
        print_json([profile.to_json() for profile in profiles().values()])
        return
    listed = Table("runtime", ">ONNX Runtime", ">opset", ">IR version")
    for profile in profiles().values():
        listed.add_row(profile.name, profile.onnxruntime, str(profile.opset), str(profile.ir))
    listed.print()
