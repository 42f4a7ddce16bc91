"""Specs that no one wrote, for hypothesis: `networks` compile, `odd_specs` follow the grammar alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from resnetgen.expand import expand
from resnetgen.ir.graph import Graph
from resnetgen.spec.load import load_file
from support.spec_blocks import block_cell
from support.spec_mistakes import documents, misspelt
from support.spec_writer import ACTIVATIONS, NORMS, UNITS, Brackets, Shape, Writer

SPEC = "net.yaml"


@dataclass(frozen=True)
class Files:
    """A spec and what it draws on: file -> text."""

    texts: Mapping[str, str]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """As hypothesis prints it: to be copied into a file."""
        printer.text("".join(f"\n# {name}\n{text}" for name, text in self.texts.items()))

    def write(self, folder: Path) -> Path:
        for name, text in self.texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        return folder / SPEC

    def compile(self, folder: Path) -> Graph:
        return expand(load_file(self.write(folder), shown=SPEC))


@st.composite
def networks(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Files:
    """A spec that compiles, with a size column that was computed here: 1 to 4 channels, at most 12 pixels a side."""
    w = Writer(draw)
    w.libraries = w.one_of(("std",), ("std", "preact"), ("std", "timm"), ())
    w.brackets = _brackets(w)
    defaults = list(_defaults(w))
    image = (w.upto(4), w.upto(12), w.upto(12))
    shape: Shape = image
    rows = {}
    for number in range(w.upto(4)):
        text, shape = _row(w, shape, first=number == 0)
        rows[f"s{number}"] = text
    head = [f"use: [{', '.join(w.libraries)}]"] if w.libraries else []
    return _documents(w, "x".join(map(str, image)), head, defaults, rows)


def odd_specs() -> st.SearchStrategy[Files]:
    """A spec by the grammar alone, or a network of which a few words are others: few of them compile."""
    return documents().map(Files) | networks().flatmap(lambda files: misspelt(dict(files.texts))).map(Files)


# Defaults


def _brackets(w: Writer) -> Brackets:
    timm, own = "timm" in w.libraries, not w.libraries
    on = w.one_of("3x3", "last", "first") if timm else w.one_of("first", "last", "3x3")
    named = ["shortcut.B", "shortcut.A", "shortcut.A_both", "shortcut.C"]
    named += ["shortcut.D", "shortcut.senet"] if timm else []
    shortcut = w.one_of(None) if own else w.one_of(*named, None, "avgpool 3x3, /$stride, p=1 | 1x1, $out, linear")
    merge = w.one_of("add", "add", "mul", "concat") if w.rarely() else "add"
    return Brackets(on, shortcut, merge, alone=w.upto(7, 0) == 7)


def _defaults(w: Writer) -> Iterator[str]:
    """Each line says what another spec's may not have; without a library all must be said."""
    everything = not w.libraries

    def said() -> bool:
        return everything or w.rarely()

    if said():
        yield f"unit: [{', '.join(w.one_of(*UNITS))}]"
    if said():
        yield f"norm: {w.one_of(*NORMS)}"
    if said():
        yield f"act: {w.one_of(*ACTIVATIONS)}"
    if w.rarely():
        yield "ops: {conv: {bias: true}, fc: {bias: false}, batchnorm: {eps: 0.01}, lrn: {size: 3}}"
    b = w.brackets
    branches = "[main]" if b.alone else w.one_of("[main, shortcut]", "[shortcut, main]")
    keys = [f"stride_on: {b.stride_on}", f"branches: {branches}", f"merge: {b.merge}"]
    keys.append(f"shortcut: {'null' if b.shortcut is None else _quoted(b.shortcut)}")
    if said():
        keys.append(f"after: {w.one_of('act', 'null', _quoted('norm | act'), '[act, dropout 0.5]')}")
    if said():
        keys.append(f"last: [{', '.join(w.one_of(*UNITS))}]")
    yield f"bracket: {{{', '.join(keys)}}}"


def _quoted(text: str) -> str:
    return f"'{text}'"


# Rows


def _row(w: Writer, shape: Shape, first: bool) -> tuple[str, Shape]:
    """A row as YAML: in text, or in fields."""
    before, block, after = [], "", []
    index = 0
    if first:  # what follows may all be the identity
        text, shape = w.unit(shape)
        before.append(text)
    for _ in range(w.upto(3)):
        kind = w.one_of("unit", "op", "block", "block") if len(shape) == 3 else "op"
        if kind == "block" and not block:
            text, shape, index = block_cell(w, shape, index)
            block = text
            continue
        text, shape = w.unit(shape) if kind == "unit" else w.op(shape)
        (after if block else before).append(text)
    return _written(w, before, block, after, _size(w, shape)), shape


def _size(w: Writer, shape: Shape) -> str:
    whole = shape if len(shape) == 3 else (*shape, 1, 1)
    return w.one_of("x".join(map(str, whole)), "x".join(map(str, whole[1:])), "")


def _written(w: Writer, before: list[str], block: str, after: list[str], size: str) -> str:
    if w.upto(3, 0) < 3:
        column = f"{size} | " if size else ""
        return _quoted(column + " | ".join([*before, *([block] if block else []), *after]))
    pre = f"[{', '.join(map(_quoted, before))}]" if w.rarely() else _quoted(" | ".join(before))
    fields = {"size": size, "pre": pre if before else ""}
    fields |= {"block": _quoted(block) if block else "", "post": _quoted(" | ".join(after)) if after else ""}
    return "{" + ", ".join(f"{key}: {value}" for key, value in fields.items() if value) + "}"


# Documents


def _documents(w: Writer, image: str, head: list[str], defaults: list[str], rows: dict[str, str]) -> Files:
    """The spec in one file, or in several: blocks in a library of one's own, rows and parameters in a parent."""
    texts = {}
    if w.blocks and w.rarely():
        texts["blocks.yaml"] = _section("blocks", w.blocks)
        head = [f"use: [{', '.join([*w.libraries, 'blocks.yaml'])}]"]
        w.blocks = {}
    own = "".join(f"{line}\n" for line in head)
    blocks = _section("blocks", w.blocks)
    chosen = f"defaults:\n{''.join(f'  {line}{chr(10)}' for line in defaults)}" if defaults else ""
    params = f"params: {json.dumps(w.params)}\n" if w.params else ""
    named = w.one_of("", "name: A net/0.1\n", "names: null\n")
    if "timm" in w.libraries and not image.startswith("3x"):
        named += "preprocess: null\n"  # that of the library is for three channels
    if w.upto(5, 0) < 5:
        return Files(texts | {SPEC: f"{own}{named}input: {image}\n{params}{chosen}{blocks}{_section('stages', rows)}"})
    kept = w.upto(len(rows))
    # Text replaces what the parent's row says; fields would leave the rest of it.
    replaced = [name for name, text in rows.items() if not text.startswith("{")][1::2]
    other = rows | dict.fromkeys(replaced, "relu | 3x3, 5")
    parent = dict(list(other.items())[:kept]) | {"gone": "gap"}
    child = {name: text for name, text in rows.items() if parent.get(name) != text} | {"gone": "null"}
    old = f"params: {json.dumps(dict.fromkeys(w.params, 1))}\n" if w.params else ""
    texts["parent.yaml"] = f"{own}input: 1x1x1\n{old}{chosen}{blocks}{_section('stages', parent)}"
    return Files(texts | {SPEC: f"extends: parent.yaml\n{named}input: {image}\n{params}{_section('stages', child)}"})


def _section(key: str, lines: Mapping[str, str]) -> str:
    return f"{key}:\n" + "".join(f"  {name}: {text}\n" for name, text in lines.items()) if lines else ""
