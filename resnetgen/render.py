"""Templates of templates/, for jinja2. A name that a template lacks is an error, never an empty text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from resnetgen.paths import TEMPLATES

Functions = Mapping[str, Callable[[Any], Any]]


def template(name: str, filters: Functions | None = None, tests: Functions | None = None) -> Template:
    """Return a template such as `caffe/net.prototxt.j2`, with additional filters and tests."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # protobuf's text format, not HTML: every string is quoted by a filter
    )
    environment.filters.update(filters or {})
    environment.tests.update(tests or {})
    return environment.get_template(name)


def quoted(text: str) -> str:
    """Return a string in protobuf's text format."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
