"""`python -m tests.fuzz`, from the repository's root."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # The tests' modules know each other by their bare names, this package among them.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from fuzz.command import main

    sys.exit(main())
