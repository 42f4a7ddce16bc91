"""The end of the process, without taking apart all that it holds: that would be a tenth of a build's time."""

from __future__ import annotations

import atexit
import os
import sys
from typing import NoReturn


def end(code: object) -> NoReturn:
    """Ends the process as `sys.exit` would, and says so (exit 5) where the output cannot be written."""
    number = code if isinstance(code, int) else int(code is not None)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # the reader of our output has gone; there is no one to tell
    except OSError as error:
        from resnetgen.errors import Code, Exit, Problem

        print(Problem(Code.OUTPUT, f"the output cannot be written: {error.strerror}").render(), file=sys.stderr)
        number = number or Exit.IO
    if not sys.stderr.closed:
        sys.stderr.flush()
    atexit._run_exitfuncs()  # temporary folders go; the interpreter itself calls it so
    os._exit(number)
