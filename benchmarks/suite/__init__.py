"""A file a benchmark. Its docstring is its heading and its text in the report; its `figures` measures."""

from __future__ import annotations

from importlib import import_module

from benchmarks.measure import Bench
from benchmarks.report import Section

SUITE = (
    "build",
    "start",
    "emission",
    "prototxt",
    "matching",
    "hostile",
    "compile_time",
    "inference",
    "verification",
    "weights",
    "validation",
    "embed",
)
"""In the order of the report."""


def measured(name: str, bench: Bench, **options: int) -> Section:
    """One benchmark, in this process. `options`: of its `figures`, where that has any beside `bench`."""
    module = import_module(f"benchmarks.suite.{name}")
    return Section(module.__doc__ or name, list(module.figures(bench, **options)))
