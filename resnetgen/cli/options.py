"""Options that several commands share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from resnetgen import ranges

if TYPE_CHECKING:
    from pathlib import Path


class FilePath(click.Path):
    """Path option that returns a pathlib.Path. pathlib is imported only when a path is given: it would take a tenth of
    `--help`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from pathlib import Path

        return Path(os.fsdecode(super().convert(value, param, ctx)))


def _setting(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, int | float]:
    """Parse name=value pairs whose values are numbers. Raises a usage error for other texts."""
    settings: dict[str, int | float] = {}
    for text in given:
        name, equals, value = text.partition("=")
        try:
            settings[name] = float(value) if "." in value else int(value)
        except ValueError:
            equals = ""
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not of the form classes=10")
    return settings


settings_option = click.option(
    "--set",
    "settings",
    callback=_setting,
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the spec: --set classes=10.",
)
image_option = click.option(
    "--input",
    "image",
    metavar="CxHxW",
    help="An input in place of the spec's own; its size columns then do not count.",
)
output_dir_option = click.option(
    "--output-dir",
    type=FilePath(),
    default="generated",
    show_default=True,
    help="The folder of outputs; each spec has one of its own below it.",
)
provider_option = click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "auto"]),
    help="Where ONNX Runtime is to verify: cpu (the default), cuda, which fails where any node ran elsewhere, or auto.",
)
dialect_option = click.option(
    "--dialect",
    type=click.Choice(["bvlc", "bvlc-1.0", "opencv"]),
    help="Who reads the Caffe files: BVLC's master (the default), its release 1.0, or OpenCV 4's importer.",
)
reinit_option = click.option(
    "--reinit",
    multiple=True,
    metavar="STAGE",
    help="Draw the weights of a stage anew instead of taking the checkpoint's: --reinit head.",
)
nonfinite_option = click.option("--allow-nonfinite", is_flag=True, help="Take weights that are NaN or infinite, too.")
max_nodes_option = click.option("--max-nodes", type=click.IntRange(*ranges.NODES), default=20_000, show_default=True)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
