"""Docstrings of the package begin with an imperative or a noun phrase, never with a dependent clause."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from support.places import syntax

PACKAGE = Path(__file__).parents[1] / "resnetgen"
CLAUSES = {"How", "Of", "What", "Whatever", "When", "Where", "Whether", "Which", "Who", "Whoever", "Whose", "Why"}
"""First words of a clause. A preposition (`Of`) is the rest of a sentence that its reader has to guess."""


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every docstring, those of fields and constants included."""
    for node in syntax(source):
        for statement in getattr(node, "body", ()) if not isinstance(node, ast.Lambda | ast.IfExp) else ():
            match statement:
                case ast.Expr(ast.Constant(str(text))):
                    yield statement.lineno, text


def clauses(source: str) -> list[int]:
    """Return the lines of the docstrings that begin with a clause."""
    return sorted(line for line, text in docstrings(source) if (text.split() or [""])[0].strip(",.:") in CLAUSES)


def test_no_docstring_of_the_package_begins_with_a_clause() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        lines = source.splitlines()
        found += [f"{path.relative_to(PACKAGE)}:{line}: {lines[line - 1].strip()}" for line in clauses(source)]
    assert found == []


BAD = '''"""What a room is for."""

LIMIT = 3
"""Of a file, in bytes."""


class Room:
    """Who is inside."""

    door: bool
    """Whether it is open."""

    def enter(self) -> None:
        """How one gets in."""
        if self.door:
            """Where it leads."""
'''

GOOD = '''"""Rooms of a house: what they hold is listed by name."""

LIMIT = 3
"""Limit of a file in bytes; whatever is beyond it is refused."""


class Room:
    """Return nothing of what was asked for."""

    whole = "What is no docstring"

    def enter(self) -> str:
        """Whole sentences pass."""
        return lambda: """What a string says."""
'''


def test_a_clause_is_found_wherever_a_docstring_may_stand() -> None:
    assert clauses(BAD) == [1, 4, 8, 11, 14, 16]


def test_clauses_inside_a_sentence_and_other_strings_pass() -> None:
    assert clauses(GOOD) == []
    assert len(list(docstrings(GOOD))) == 4


def test_every_kind_of_docstring_of_the_package_is_read() -> None:
    found = [text for path in PACKAGE.rglob("*.py") for _, text in docstrings(path.read_text(encoding="utf-8"))]
    assert len(found) > 1000
