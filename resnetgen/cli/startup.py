"""Start and end of the process: settings that make short runs fast.

docs/architecture.md ("Start-up") lists them with the measured gain of each, and the modules that have the others.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

from resnetgen.cli.interrupts import INTERRUPTED, ignore_interrupts
from resnetgen.cli.output import flush, print_failure


def stop_collecting() -> None:
    """Turn the garbage collector off: a short process needs most of its objects until it ends."""
    gc.disable()


def collect_again() -> None:
    """Turn the garbage collector on again, for a process that runs on."""
    gc.enable()


def limit_blas_threads() -> None:
    """Keep numpy, which is not imported yet, from starting BLAS threads, for a command that multiplies no matrices.

    The idle threads would spin.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def end(code: object) -> NoReturn:
    """End the process like `sys.exit`, but without freeing its objects; with exit 5 if the output cannot be written."""
    number = code if isinstance(code, int) else int(code is not None)
    try:
        flush()
    except KeyboardInterrupt:
        number = INTERRUPTED
    except Exception as error:
        if number in (0, 1):  # otherwise the command's own error has been printed
            number = print_failure(error)
    ignore_interrupts()
    with suppress(OSError):
        sys.stderr.flush()
    atexit._run_exitfuncs()  # removes temporary folders, as the interpreter does at exit
    os._exit(number)
