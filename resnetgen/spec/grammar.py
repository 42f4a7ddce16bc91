"""Parser of grammar.lark. Its tables are stored next to it, since building them takes a tenth of a build.

They are a pickle, as lark saves a parser, after a line with the versions of lark and of the grammar. For any other
version the parser is built anew, which takes longer.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

import lark
from lark import Lark

TABLES = Path(__file__).with_name("grammar.tables")


@cache
def parser() -> Lark:
    """Return the parser; it can start at row, cells, size or expression."""
    grammar = _grammar()
    with TABLES.open("rb") as file:
        return Lark.load(file) if file.readline() == _stamp(grammar) else build_parser(grammar)


def build_parser(grammar: bytes) -> Lark:
    return Lark(
        grammar.decode(),
        parser="lalr",
        start=["row", "cells", "size", "expression"],
        propagate_positions=True,
        maybe_placeholders=True,
    )


def save() -> None:
    """Build the tables and write them."""
    grammar = _grammar()
    with TABLES.open("wb") as file:
        file.write(_stamp(grammar))
        build_parser(grammar).save(file)


def _grammar() -> bytes:
    return Path(__file__).with_name("grammar.lark").read_bytes()


def _stamp(grammar: bytes) -> bytes:
    return f"lark {lark.__version__}, grammar {sha256(grammar).hexdigest()}\n".encode()
