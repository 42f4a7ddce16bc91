"""Caffe layers -> prototxt, by templates/caffe/net.prototxt.j2."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from resnetgen.resources import TEMPLATES
from resnetgen.targets.caffe.layers import Enum, Value
from resnetgen.targets.caffe.translate import CaffeNet


def render(net: CaffeNet) -> str:
    """The text of the prototxt. A name the template lacks is an error, never an empty space."""
    return _template().render(net=net)


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # prototxt, not HTML: every value goes through `literal`
    )
    environment.filters["literal"] = literal
    environment.tests["message"] = lambda value: isinstance(value, tuple)
    return environment.get_template("caffe/net.prototxt.j2")


def literal(value: Value) -> str:
    """A value in protobuf's text format."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value)
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case _:
            return repr(value)
