"""Classes of the commands: options that all have, and every failure turned into its text and its exit code."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any, ClassVar, NoReturn

import click

from resnetgen import __version__
from resnetgen.cli.output import print_error, print_failure, print_line, print_lines, set_quiet
from resnetgen.cli.table import terminal_width


def _set_debug(_: click.Context, __: click.Parameter, debug: bool) -> None:
    _Group.debug |= debug


_DEBUG = click.Option(
    ["--debug"], is_flag=True, expose_value=False, is_eager=True, callback=_set_debug, help="Show tracebacks."
)
_MAX_WIDTH = 110
"""Width in characters of a help text in a wide terminal."""


def _print_help(context: click.Context, _: click.Parameter, chosen: bool) -> None:
    if chosen and not context.resilient_parsing:
        print_lines(context.get_help())
        context.exit()


def _print_version(context: click.Context, _: click.Parameter, chosen: bool) -> None:
    if chosen and not context.resilient_parsing:
        print_line(f"resnetgen {__version__}")
        context.exit()


def _help_width() -> int:
    """Return the width of help texts: click's own, without its import of shutil (docs/architecture.md, Start-up)."""
    return max(min(terminal_width() or 80, _MAX_WIDTH) - 2, 50)


class Command(click.Command):
    """Command with --debug, which is allowed anywhere in the line, and with help printed by `output`.

    `in_child` is True for a command that passes a user's model to an engine, whose crash must not end this process:
    `run` runs it in a child process.
    """

    def __init__(self, *args: Any, in_child: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.in_child = in_child
        self.params.append(_DEBUG)

    def get_help_option(self, context: click.Context) -> click.Option | None:
        """Return click's option with another callback: click's own would end the program if the reader has gone."""
        if option := super().get_help_option(context):
            option.callback = _print_help
        return option

    def invoke(self, context: click.Context) -> Any:
        """Run the command. Raises a usage error for --quiet with --json."""
        if context.params.pop("quiet", False):
            if context.params.get("as_json"):
                raise click.UsageError("--quiet prints no result, and --json prints it: leave out one of them")
            set_quiet(True)
        return super().invoke(context)


class _Group(Command, click.Group):
    """Group of commands that turns every failure into its text and its exit code."""

    command_class = Command
    group_class = type
    debug: ClassVar[bool] = False
    """True if the command line being run has --debug."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        _Group.debug = False
        set_quiet(False)
        try:
            super().main(*args, **{**kwargs, "standalone_mode": False, "terminal_width": _help_width()})
        except click.ClickException as error:
            error.show(file=(text := StringIO()))
            print_error(text.getvalue().rstrip("\n"))
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt, Exception) as error:
            if _Group.debug:
                import traceback

                print_error(traceback.format_exc())
            sys.exit(print_failure(error))
        sys.exit(0)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    "-V",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Compile the stage table of a ResNet paper to Caffe and ONNX.

    A SPEC is the path of a YAML file, or the name of a bundled spec, such as resnet50. `resnetgen list` lists them.

    \b
    Exit codes: 0 done, 1 a difference was found, 2 usage, 3 spec,
    4 weights or model file, 5 input or output, 6 limit,
    7 verification failed, 70 a bug.
    """
