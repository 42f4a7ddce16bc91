"""Specs by the grammar alone, drawn by hypothesis: nothing in them need fit, and now and then not even the grammar."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from resnetgen.ir.ops import VOCABULARY
from support.spec_writer import ACTIVATIONS, NORMS

NUMBERS = ("1", "3", "2", "0", "16", "64", "1000", "1000001", "65537", "1e400", "0.5", "1e-3", "9" * 19, "017")
NAMES = ("$n", "$in", "$out", "$stride", "$index", "$width", "$later", "$nope", "$kx3")
OPERATORS = ("+", "-", "*", "//", "%", "==", "!=", "<", "<=", ">", ">=", "and", "or", "/", "**")
OPS = (*VOCABULARY, "norm", "act", "identity", "conv2d", "pool", "basic", "linear")
BLOCKS = (
    *("basic", "bottleneck", "se", "shortcut.A", "shortcut.B", "shortcut.C", "shortcut.D", "preact.basic", "eca"),
    *("basic.aa", "bottleneck.dilated", "antialias", "attention", "own", "loop", "other", "pick", "relu", "bottlneck"),
)
OPTIONS = (
    *("bias", "linear", "bare", "ceil", "exclude_pad", "same", "both", "width", "groups", "se", "x2"),
    *("C", "d", "p", "stride", "pad", "kernel", "out_channels", "eps", "ratio", "slope", "size", "units", "dilation"),
)
VALUES = ("null", "true", "''", "'[]'", "{}", "[]", "0", "-1", "1.5", ".nan", "[1, 2]", "{a: b}", "relu", "&a 1", "*a")
PAIRS = ("3x3", "1x1", "7x7", "2x2", "1x3", "$n x $n", "0x3", "33x33")
STRIDES = ("/2", "/1", "/$stride", "/2x1", "/0", "/33")
TIMES = (" x2", " x $n", " /2", " x2 /2", " x 0", " /2 x2", " x 1000000", " /$stride", " x $in", " x 2.5", " / -1")
SOUND = ("3x3, 16", "relu", "basic(16)", "gap", "fc 10", "flatten", "3x3, $width", "maxpool 3x3, /2", "se(4)", "own()")
SIZES = ("32x32 | ", "1x1 | ", "3x32x32 | ", "0x0 | ", "32 | ", "$n x $n | ", "1x1x1x1 | ")
FIELDS = ("size", "pre", "block", "repeat", "stride", "post", "bloc")
LIBRARIES = ("std", "[std, timm]", "[std, preact]", "preact", "torchvision_images", "nothing", "no.yaml", "net.yaml")
PARENTS = ("parent.yaml", "resnet18", "net.yaml", "nothing", "nothing.yaml", "../parent.yaml", "std")
INPUTS = ("3x32x32", "1x8x8", "3x1x1", "3x0x32", "32x32", "3x70000x1", "0x1x1", "3 x 8 x 8", "$n x 8 x 8")
OWN = ("own", "own", "loop", "pick", "basic", "antialias", "shortcut.B", "other")
STAGES = ("s0", "s1", "s2", "s3", "conv1", "conv2_x", "0-x", "a b")
TOKENS = (
    *(*NUMBERS, *NAMES, *OPERATORS, *OPS, *OPTIONS, *PAIRS, *STRIDES, *VALUES),
    *("[", "]", "(", ")", "'", ",", ";", "|", "\n", "use", "stages", "params"),
)


@dataclass
class Scribe:
    """Writes what the grammar allows, whether or not it makes sense."""

    draw: Callable[[st.SearchStrategy[Any]], Any]
    depth: int = 0

    def chance(self, of: int) -> bool:
        """One in so many."""
        return bool(self.draw(st.integers(0, of - 1)) == of - 1)

    def one(self, words: Sequence[str]) -> str:
        return words[self.draw(st.integers(0, len(words) - 1))]

    def some(self, make: Callable[[], str], most: int, least: int = 0) -> list[str]:
        return [make() for _ in range(self.draw(st.integers(least, most)))]

    # Rows

    def expression(self) -> str:
        if not self.chance(4):
            return self.one(NUMBERS) if self.chance(3) else self.one(("1", "2", "3", "8", "$n", "$width", "$in"))
        match self.draw(st.integers(0, 4)):
            case 0:
                return f"({self.expression()})"
            case 1:
                return f"-{self.expression()}"
            case 2:
                return f"{self.expression()} if {self.expression()} else {self.expression()}"
            case 3:
                return self.one(NAMES)
        return f"{self.expression()} {self.one(OPERATORS)} {self.expression()}"

    def pair(self) -> str:
        return f"{self.one(NUMBERS)}x{self.one(NUMBERS)}" if self.chance(4) else self.one(PAIRS)

    def argument(self) -> str:
        match self.draw(st.integers(0, 5)):
            case 0:
                return self.expression()
            case 1:
                return self.pair()
            case 2:
                return self.one(STRIDES)
            case 3:
                return self.one(OPTIONS)
            case 4:
                return f"{self.one(OPTIONS)}={self.one(OPTIONS) if self.chance(6) else self.pair()}"
        return f"{self.one(OPTIONS)}={self.expression()}"

    def arguments(self) -> str:
        return ", ".join(self.some(self.argument, 2))

    def body(self) -> str:
        kind = self.draw(st.integers(0, 15))
        if kind > 13 and self.depth < 4:
            self.depth += 1
            inner = "; ".join(self.some(self.body, 3, 1))
            self.depth -= 1
            return f"[{inner}]" if kind == 14 else f"({inner})"
        match kind:
            case 0:
                return f"{self.pair()}, {self.expression()}, {self.arguments()}".rstrip(", ")
            case 1:
                return f"{self.one(OPS)} {self.arguments()}".rstrip()
            case 2:
                return f"{self.one(BLOCKS)}({self.arguments()})"
        return self.one(SOUND)

    def cell(self) -> str:
        return f"{self.body()}{self.one(TIMES) if self.chance(3) else ''}"

    def cells(self) -> str:
        return quoted(" | ".join(self.some(self.cell, 3, 1)))

    def row(self) -> str:
        if self.chance(6):
            return self.mapping(FIELDS, lambda: self.cells() if self.chance(2) else quoted(self.expression()), 3)
        size = self.one(SIZES) if self.chance(4) else ""
        return self.odd(quoted(size + " | ".join(self.some(self.cell, 3, 1))))

    # The document

    def odd(self, usual: str) -> str:
        """Now and then a value of another type."""
        return self.one(VALUES) if self.chance(150) else usual

    def mapping(self, keys: Sequence[str], value: Callable[[], str], most: int) -> str:
        chosen = self.some(lambda: self.one(keys), most)
        chosen = chosen if self.chance(20) else list(dict.fromkeys(chosen))
        return "{" + ", ".join(f"{key}: {value()}" for key in chosen) + "}"

    def listed(self, usual: Sequence[str]) -> str:
        return f"[{', '.join(self.some(lambda: self.one(usual), 3) if self.chance(4) else usual)}]"

    def block(self) -> str:
        makers = {
            "body": self.cells,
            "branches": lambda: self.mapping(("a", "b", "c"), self.cells, 3),
            "merge": lambda: self.one(("add", "mul", "concat", "add", "sub")),
            "after": self.cells,
            "choose": lambda: f"[{{if: {quoted(self.expression())}, then: {self.cells()}}}, {{then: {self.cells()}}}]",
            "params": lambda: self.mapping(("width", "n", "later"), lambda: quoted(self.expression()), 2),
            "let": lambda: self.mapping(("width", "later", "x"), lambda: quoted(self.expression()), 2),
        }
        kind = (("body",), ("branches", "merge"), ("choose",), ("branches", "merge", "after"), tuple(makers), ())
        chosen = kind[self.draw(st.integers(0, 3)) if not self.chance(20) else 4 + self.chance(2)]
        chosen = ("params", "let", *chosen) if self.chance(3) else chosen
        return self.odd("{" + ", ".join(f"{key}: {self.odd(makers[key]())}" for key in dict.fromkeys(chosen)) + "}")

    def defaults(self) -> str:
        bracket = {
            "stride_on": lambda: self.one(("first", "last", "3x3", "1x1", "middle")),
            "branches": lambda: self.listed(("main", "shortcut")),
            "shortcut": lambda: self.one(("shortcut.A", "shortcut.B", "null", self.cells())),
            "merge": lambda: self.one(("add", "mul", "concat")),
            "after": self.cells,
            "last": lambda: self.listed(("conv", "norm", "act")),
        }
        makers = {
            "unit": lambda: self.listed(("conv", "norm", "act")),
            "norm": lambda: quoted(self.one((*NORMS, "relu | relu", "groupnorm 5", "3x3, 4"))),
            "act": lambda: quoted(self.one((*ACTIVATIONS, "softmax", "act"))),
            "ops": lambda: f"{{{self.one(OPS)}: {self.mapping(OPTIONS, lambda: self.one(VALUES), 2)}}}",
            "bracket": lambda: self.chosen(bracket, 2),
        }
        return self.odd(self.chosen(makers, 2))

    def chosen(self, makers: dict[str, Callable[[], str]], most: int) -> str:
        keys = dict.fromkeys(self.some(lambda: self.one([*makers]), most))
        return "{" + ", ".join(f"{key}: {self.odd(makers[key]())}" for key in keys) + "}"

    def spec(self, extends: bool) -> str:
        lines = {
            "use": self.one(LIBRARIES) if self.chance(20) else self.one(LIBRARIES[:3]),
            "extends": self.one(PARENTS) if self.chance(6) else PARENTS[0],
            "input": self.one(INPUTS) if self.chance(6) else self.one(INPUTS[:2]),
            "params": self.mapping(("n", "width", "classes", "stride"), lambda: self.one(NUMBERS), 2),
            "defaults": self.defaults(),
        }
        lines |= {} if extends else {"extends": ""}
        lines["params"] = lines["params"] if self.chance(4) else "{n: 2, width: 8}"
        sections = {
            "blocks": {self.one(OWN): self.block() for _ in range(self.draw(st.integers(0, 2)))},
            "stages": {self.one(STAGES): self.row() for _ in range(self.draw(st.integers(1, 3)))},
        }
        text = [f"{key}: {self.odd(value)}\n" for key, value in lines.items() if value]
        for key, section in sections.items():
            if section:
                text.append(f"{key}:\n" + "".join(f"  {name}: {value}\n" for name, value in section.items()))
        if self.chance(30):
            del text[self.draw(st.integers(0, len(text) - 1))]
        return "".join(text)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@st.composite
def documents(draw: Callable[[st.SearchStrategy[Any]], Any]) -> dict[str, str]:
    """net.yaml, and the parent that it may name."""
    scribe = Scribe(draw)
    extends = scribe.chance(6)
    texts = {"net.yaml": scribe.spec(extends)}
    if extends:
        texts["parent.yaml"] = scribe.spec(extends=scribe.chance(8))
    return texts


@st.composite
def misspelt(draw: Callable[[st.SearchStrategy[Any]], Any], texts: dict[str, str]) -> dict[str, str]:
    """A sound spec of which a few words are others, or gone."""
    text = texts["net.yaml"]
    words = [match.span() for match in re.finditer(r"[\w.$]+|[^\s'\"]", text)]
    for _ in range(draw(st.integers(1, 3))):
        start, end = words[draw(st.integers(0, len(words) - 1))]
        others = (*TOKENS, "", text[start:end] * 2)
        text = text[:start] + others[draw(st.integers(0, len(others) - 1))] + text[end:]
    return texts | {"net.yaml": text}
