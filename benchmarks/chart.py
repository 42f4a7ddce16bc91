"""The figures as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Page
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.figure import Figure, times
from benchmarks.report import Section

HELD, BEYOND, FREE = "#0072B2", "#D55E00", "#9A9A9A"
"""Of Okabe and Ito's colours, which the colour-blind tell apart: blue, vermilion, and a grey."""
INK, FAINT = "#222222", "#D8D8D8"
_ROW, _TOP = 0.27, 1.1
"""Inches."""


def draw(sections: Sequence[Section], path: Path) -> None:
    """A bar a figure, from 1 to its ratio on a logarithmic scale, and a mark where its limit is."""
    sections = [section for section in sections if section.figures]
    rows = sum(len(section.figures) + 1 for section in sections)
    page = Page(figsize=(11, rows * _ROW + _TOP), layout="constrained")
    axes = page.add_subplot()
    ends: list[float] = [0.5, 2]
    y = 0
    for section in sections:
        _head(axes, y, cleandoc(section.text).partition("\n")[0])
        for offset, figure in enumerate(section.figures, 1):
            _bar(axes, y + offset, figure)
            ends += [figure.low, figure.high, figure.limit or 1]
        y += 1 + len(section.figures)
    _scale(axes, min(ends) / 1.8, max(ends) * 1.8, rows)
    _legend(axes)
    # Nothing of the day it was drawn, so that the same figures give the same file.
    page.savefig(path, dpi=130, metadata={"Software": None})


def _head(axes: Axes, y: int, title: str) -> None:
    axes.text(-0.01, y, title, transform=axes.get_yaxis_transform(), ha="right", va="center", color=INK, weight="bold")


def _bar(axes: Axes, y: int, figure: Figure) -> None:
    colour = FREE if figure.limit is None else HELD if figure.held else BEYOND
    left, right = sorted((1, figure.ratio))
    axes.barh(y, right - left, 0.62, left=left, color=colour, hatch=None if figure.held else "////", edgecolor="white")
    axes.plot([figure.low, figure.high], [y, y], color=INK, linewidth=1)
    if figure.limit is not None:
        axes.plot([figure.limit] * 2, [y - 0.4, y + 0.4], color=INK, linewidth=2.2)
    side: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "color": INK, "fontsize": 8.5}
    axes.text(-0.01, y, f"{_plain(figure.what)}  /  {_plain(figure.peer)}", ha="right", **side)
    axes.text(1.01, y, times(figure.ratio), weight="normal" if figure.held else "bold", **side)


def _scale(axes: Axes, low: float, high: float, rows: int) -> None:
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(rows - 0.3, -0.7)
    axes.set_yticks([])
    axes.axvline(1, color=INK, linewidth=1)
    axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"1/{1 / x:.3g}" if x < 0.99 else f"{x:.3g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelcolor=INK)
    axes.set_xlabel("ours over the peer's: less is better", color=INK)


def _legend(axes: Axes) -> None:
    signs = [
        Patch(color=HELD, label="holds its limit"),
        Patch(facecolor=BEYOND, edgecolor="white", hatch="////", label="beyond its limit"),
        Patch(color=FREE, label="no limit set"),
        Line2D([], [], color=INK, linewidth=2.2, label="the limit"),
        Line2D([], [], color=INK, linewidth=1, label="half of the rounds"),
    ]
    axes.legend(handles=signs, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=5, frameon=False, fontsize=8.5)


def _plain(text: str) -> str:
    return text.replace("`", "")
