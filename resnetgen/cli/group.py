"""The group of commands: every failure becomes its text and its exit code."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import click

from resnetgen import __version__


class _Group(click.Group):
    """Turns every failure into its text and its exit code."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        debug = "--debug" in sys.argv
        try:
            super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            _say("interrupted; nothing was left half-written")
            sys.exit(130)
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output has gone; there is no one to tell
            sys.exit(0)
        except Exception as error:
            _fail(error, debug)
        sys.exit(0)


def _fail(error: Exception, debug: bool) -> NoReturn:
    from resnetgen.errors import Code, Exit, Failure, Problem

    if debug:
        import traceback

        traceback.print_exc()
    if isinstance(error, Failure):
        _say(str(error))
        sys.exit(error.exit)
    if isinstance(error, OSError):  # a disk that fails, a folder that went away: no mistake of ours
        where = f"{error.filename}: " if error.filename else ""
        _say(Problem(Code.OUTPUT, f"{where}{error.strerror or error}").render())
        sys.exit(Exit.IO)
    hint = "this is a bug of resnetgen; --debug shows where. Please report it with the spec"
    _say(Problem(Code.BUG, f"{type(error).__name__}: {error}", hint=hint).render())
    sys.exit(Exit.BUG)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def main(debug: bool) -> None:
    """One table in, two formats out, proven equal.

    Compiles the stage table of a ResNet paper, written as YAML, to Caffe and ONNX models. A SPEC is the path of a YAML
    file, or the name of a bundled one, such as resnet50.

    \b
    Exit codes: 0 done, 1 a difference was found, 2 usage, 3 spec, 4 weights or model file, 5 input or output,
    6 limit, 7 verification failed, 70 a bug.
    """
