"""Exit codes of the command line."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # imported for type annotations only
    from resnetgen.errors import Failure


class Exit(IntEnum):
    DONE = 0
    DIFFERENT = 1
    USAGE = 2
    SPEC = 3
    MODEL = 4
    IO = 5
    LIMIT = 6
    VERIFICATION = 7
    BUG = 70


_CODES = {
    "UsageError": Exit.USAGE,
    "SpecError": Exit.SPEC,
    "ModelError": Exit.MODEL,
    "FileError": Exit.IO,
    "LimitError": Exit.LIMIT,
    "VerificationError": Exit.VERIFICATION,
    "InternalError": Exit.BUG,
}


def exit_code(failure: Failure) -> Exit:
    """Return the exit code of an error of the library, or of a class that a format from outside derives from one."""
    return next(_CODES[kind.__name__] for kind in type(failure).__mro__ if kind.__name__ in _CODES)
