"""Generated specs: those of a network compile, the others fail as errors that have a place and say what to do.

`pytest -m fuzz tests/spec/test_spec_fuzz.py`; with `SPECS=20000` before it, so many of each.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, event, given, settings

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure, Problem
from resnetgen.expand import expand
from resnetgen.spec.load import load_file
from support.strategies import SPEC, Files, networks, odd_specs
from support.work import count_lines

EXAMPLES = int(os.environ.get("SPECS", "200"))
LINES = 5_000_000
"""Of Python, for one spec: about a second. Measured: 0.7 million at most."""
generated = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


def attempt(files: Files, folder: Path) -> Failure | None:
    """Compile; whatever comes out must be a Failure, soon, each of its problems with a place and a hint."""
    path, refused = files.write(folder), None
    with count_lines(limit=LINES):
        try:
            expand(load_file(path, shown=SPEC))
        except Failure as failure:
            refused = failure
        rendered = str(refused)
    if refused:
        assert exit_code(refused) in (Exit.SPEC, Exit.LIMIT, Exit.IO), rendered
        for problem in refused.problems:
            event(f"{problem.code}")
            assert problem.span or problem.code is Code.EMPTY_SPEC, rendered
            assert says_what_to_do(problem), rendered
    return refused


def says_what_to_do(problem: Problem) -> bool:
    """By a hint, or by a message that says what must be."""
    return bool(problem.hint) or "must" in problem.message


@pytest.mark.fuzz
@generated
@given(odd_specs())
def test_odd_specs_fail_as_errors(files: Files) -> None:
    with TemporaryDirectory() as folder:
        attempt(files, Path(folder))


@pytest.mark.fuzz
@generated
@given(networks())
def test_networks_compile(files: Files) -> None:
    """What the page says goes, and is as large as it says."""
    with TemporaryDirectory() as folder:
        assert attempt(files, Path(folder)) is None
