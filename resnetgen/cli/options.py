"""Options that several commands share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from resnetgen import ranges

if TYPE_CHECKING:
    from pathlib import Path


class _FilePath(click.Path):
    """Path option that returns a pathlib.Path. Its module is imported only when a path is given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        from pathlib import Path

        return Path(os.fsdecode(super().convert(value, param, ctx)))


FILE_PATH = _FilePath()


class FormatName(click.ParamType):  # type: ignore[type-arg]
    """Name of a format of the registry, which others may add to."""

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        from resnetgen.formats.registry import names

        return f"[{'|'.join(names())}]"


def _parse_params(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, int | float]:
    """Parse name=value pairs whose values are numbers. Raises a usage error for other texts."""
    params: dict[str, int | float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            params[name] = float(value) if "." in value else int(value)
        except ValueError:
            equals = ""
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not of the form classes=10")
    return params


params_option = click.option(
    "--set",
    "params",
    callback=_parse_params,
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the spec: --set classes=10. May be repeated.",
)
input_size_option = click.option(
    "--input",
    "input_size",
    metavar="CxHxW",
    help="Input size in place of the spec's: 3x320x320. The sizes in the spec's table are then not checked.",
)
output_dir_option = click.option(
    "--output-dir",
    "-o",
    type=FILE_PATH,
    default="generated",
    show_default=True,
    help="Folder of the outputs; each spec has its own folder in it.",
)
provider_option = click.option(
    "--provider",
    type=click.Choice(["cpu", "cuda", "auto"]),
    help="Where ONNX Runtime runs the verification: cpu (the default), cuda, which fails if any node ran elsewhere, or "
    "auto.",
)
dialect_option = click.option(
    "--dialect",
    type=click.Choice(["bvlc", "bvlc-1.0", "opencv"]),
    help="Reader of the Caffe files: BVLC's master branch (the default), its release 1.0, or OpenCV 4.",
)
reinit_option = click.option(
    "--reinit",
    multiple=True,
    metavar="STAGE",
    help="Initialise the weights of this stage instead of taking the checkpoint's: --reinit head. May be repeated.",
)
nonfinite_option = click.option("--allow-nonfinite", is_flag=True, help="Accept weights that are NaN or infinite.")
max_nodes_option = click.option(
    "--max-nodes",
    type=click.IntRange(*ranges.NODES),
    default=20_000,
    show_default=True,
    metavar="N",
    help="Refuse a network of more nodes.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print errors and warnings only, and no progress.")
