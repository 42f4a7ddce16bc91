"""The end of the process, without taking apart all that it holds: that would be a tenth of a build's time."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn

from resnetgen.cli.output import flush, say_failure


def end(code: object) -> NoReturn:
    """End the process as `sys.exit` would; where the answer of the command cannot be written, with exit 5."""
    number = code if isinstance(code, int) else int(code is not None)
    try:
        flush()
    except Exception as error:
        if number in (0, 1):  # else the error of the command itself has been said
            number = say_failure(error)
    with suppress(OSError):
        sys.stderr.flush()
    atexit._run_exitfuncs()  # temporary folders go; the interpreter itself calls it so
    os._exit(number)
