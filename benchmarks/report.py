"""The figures as Markdown."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from inspect import cleandoc

from benchmarks import processor
from benchmarks.figure import Figure, Result, Skipped, times

LIBRARIES = ("numpy", "onnx", "protobuf", "onnxruntime", "onnxruntime-gpu", "torch")


INTRODUCTION = (
    "A ratio is our cost over a peer's: less than 1 is less. The two ran in turn on one machine; the ratio is the "
    "median over the rounds, and half of the rounds lie between the two numbers behind it. A limit is held by the "
    "ratio before it is rounded. To refresh all of it: "
    "`python -m benchmarks --write --peer-python PYTHON_WITH_TORCH`.",
    "Processes of ours are measured as users run them. The program turns Python's garbage collector off, ends by "
    "`os._exit` without taking its objects apart, and, unless it verifies, starts no threads for BLAS. Peers run as "
    "Python runs them, with none of the three. Benchmarks that call our code inside one process turn the collector "
    "off there.",
)
"""Paragraphs of the report's head."""


@dataclass(frozen=True)
class Section:
    """What one benchmark found, under its own words."""

    text: str
    """A heading and a paragraph, as its docstring has them."""
    results: Sequence[Result]

    @property
    def figures(self) -> list[Figure]:
        return [one for one in self.results if isinstance(one, Figure)]

    @property
    def skipped(self) -> list[Skipped]:
        return [one for one in self.results if isinstance(one, Skipped)]


def markdown(sections: Sequence[Section], machine: str) -> str:
    parts = [
        "# Benchmarks",
        *INTRODUCTION,
        machine,
        verdict(sections),
        "![The ratios and their limits](benchmarks.png)",
        *(section_markdown(section) for section in sections),
    ]
    return "\n\n".join(parts) + "\n"


def section_markdown(section: Section) -> str:
    heading, _, text = cleandoc(section.text).partition("\n")
    skipped = [f"Skipped: {one.peer} ({one.why})." for one in section.skipped]
    return "\n\n".join(filter(None, [f"## {heading}", text.strip(), table(section.figures), *skipped]))


def table(figures: Sequence[Figure]) -> str:
    if not figures:
        return ""
    rows = ["| what | peer | ours | peer's | ratio | half lie in | limit |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, figures)])


def verdict(sections: Sequence[Section]) -> str:
    """Which limits are not held."""
    limited = [one for section in sections for one in section.figures if one.limit is not None]
    beyond = [f"{one.what} against {one.peer}" for one in limited if not one.held]
    said = f"Of {len(limited)} limits {len(limited) - len(beyond)} are held."
    return f"{said} **Beyond its limit**: {'; '.join(beyond)}." if beyond else said


def this_machine(load: Sequence[float]) -> str:
    """What it ran on; `load`: the machine's load averages in between, of which the least and the most are told."""
    libraries = ", ".join(f"{name} {found}" for name in LIBRARIES if (found := _version(name)))
    loads = f"{min(load):.1f} to {max(load):.1f}"
    return (
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores of {processor.name()} ({', '.join(processor.flags())}), "
        f"load {loads}; Python {platform.python_version()}, {libraries}."
    )


def _row(figure: Figure) -> str:
    ratio = times(figure.ratio) if figure.held else f"**{times(figure.ratio, figure.limit)}, beyond its limit**"
    spread = f"{times(figure.low)} – {times(figure.high)}"
    limit = "" if figure.limit is None else times(figure.limit)
    costs = (f"{_digits(value)} {figure.unit}" for value in (figure.mine, figure.theirs))
    return f"| {' | '.join([figure.what, figure.peer, *costs, ratio, spread, limit])} |"


def _digits(value: float) -> str:
    """Three of them, and never an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
