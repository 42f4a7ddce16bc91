"""Rendering of Caffe layers as a prototxt, by templates/caffe/net.prototxt.j2."""

from __future__ import annotations

from functools import cache

from jinja2 import Template

from resnetgen.formats.caffe.layers import Enum, Value
from resnetgen.formats.caffe.translate import CaffeNet
from resnetgen.render import quoted, template


def render(net: CaffeNet) -> str:
    """Return the text of the prototxt. A name that the template lacks is an error, never an empty text."""
    return _template().render(net=net)


@cache
def _template() -> Template:
    return template("caffe/net.prototxt.j2", {"literal": literal}, {"message": lambda value: isinstance(value, tuple)})


def literal(value: Value) -> str:
    """Return a value in protobuf's text format."""
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value)
        case str():
            return quoted(value)
        case _:
            return repr(value)
