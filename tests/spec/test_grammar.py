"""The grammar's tables, which are made before: they are those of the grammar, and never used for another."""

from __future__ import annotations

from pathlib import Path

import lark
import pytest
from lark import Lark, Tree
from lark.exceptions import UnexpectedInput

from resnetgen.errors import Source
from resnetgen.spec import grammar
from resnetgen.spec.yaml import Mapping, Scalar, Sequence, Value, parse
from support.places import ROOT

STARTS = ["row", "cells", "size", "expression"]


@pytest.fixture
def parser(update_goldens: bool) -> Lark:
    """From the tables, if they are of the lark that is here."""
    if update_goldens:
        grammar.save()
    made_by = grammar.TABLES.read_bytes().split(b",")[0].decode()
    if made_by != f"lark {lark.__version__}":
        pytest.skip(f"the tables are of {made_by}")
    grammar.parser.cache_clear()
    return grammar.parser()


def texts(value: Value) -> set[str]:
    match value:
        case Scalar(text):
            return {text}
        case Sequence(items):
            return set[str]().union(*map(texts, items))
        case Mapping():
            return set[str]().union(*(texts(inner) for _, inner in value))


def outcome(parser: Lark, text: str, start: str) -> tuple[object, ...]:
    """The tree with its places, or what is unexpected where, and what would not be."""
    try:
        tree = parser.parse(text, start=start)
    except UnexpectedInput as error:
        return type(error), error.pos_in_stream, error.interactive_parser.accepts()
    return tree, [(node.meta.start_pos, node.meta.end_pos) for node in tree.iter_subtrees() if not node.meta.empty]


def test_the_tables_are_those_of_the_grammar(parser: Lark) -> None:
    made = grammar.build_parser(Path(grammar.__file__).with_name("grammar.lark").read_bytes())
    specs = (ROOT / "specs").rglob("*.yaml")
    found = set[str]().union(*(texts(parse(Source(path.name, path.read_text()))) for path in specs))
    assert len(found) > 200
    trees = 0
    for text in found:
        for start in STARTS:
            wanted = outcome(made, text, start)
            assert outcome(parser, text, start) == wanted
            trees += isinstance(wanted[0], Tree)
    assert trees > 100


def test_the_parser_is_loaded(parser: Lark, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar, "build_parser", None)
    grammar.parser.cache_clear()
    assert grammar.parser().parse("gap", start="row") == parser.parse("gap", start="row")


def test_tables_of_another_lark_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = tmp_path / "grammar.tables"
    tables.write_bytes(b"lark 1.0.0, grammar 0\nno pickle")
    monkeypatch.setattr(grammar, "TABLES", tables)
    grammar.parser.cache_clear()
    assert grammar.parser().parse("gap", start="row")
    grammar.parser.cache_clear()
