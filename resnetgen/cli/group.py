"""Group of commands, which turns every failure into its text and its exit code."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any, ClassVar, NoReturn

import click

from resnetgen import __version__
from resnetgen.cli.output import print_line, print_lines, say, say_failure


def _set_debug(_: click.Context, __: click.Parameter, given: bool) -> None:
    _Group.debug |= given


_DEBUG = click.Option(
    ["--debug"], is_flag=True, expose_value=False, is_eager=True, callback=_set_debug, help="Show tracebacks."
)
"""One object for all commands: making options is a part of `--help` that one can measure."""


def _print_help(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given and not context.resilient_parsing:
        print_lines(context.get_help())
        context.exit()


def _print_version(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given and not context.resilient_parsing:
        print_line(f"resnetgen {__version__}")
        context.exit()


class _Command(click.Command):
    """Command with --debug, which is allowed anywhere in the line, and with help printed by `output`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(_DEBUG)

    def get_help_option(self, context: click.Context) -> click.Option | None:
        """Return click's option with another callback: click's own would end the program if the reader has gone."""
        if option := super().get_help_option(context):
            option.callback = _print_help
        return option


class _Group(_Command, click.Group):
    """Group of commands that turns every failure into its text and its exit code."""

    command_class = _Command
    group_class = type
    debug: ClassVar[bool] = False
    """True if the command line being run has --debug."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        _Group.debug = False
        try:
            super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            error.show(file=(text := StringIO()))
            say(text.getvalue().rstrip("\n"))
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt, Exception) as error:
            if _Group.debug:
                import traceback

                say(traceback.format_exc())
            sys.exit(say_failure(error))
        sys.exit(0)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
def main() -> None:
    """One table in, two formats out, proven equal.

    Compiles the stage table of a ResNet paper, written as YAML, to Caffe and ONNX models. A SPEC is the path of a YAML
    file, or the name of a bundled one, such as resnet50.

    \b
    Exit codes: 0 done, 1 a difference was found, 2 usage, 3 spec, 4 weights or model file, 5 input or output,
    6 limit, 7 verification failed, 70 a bug.
    """
