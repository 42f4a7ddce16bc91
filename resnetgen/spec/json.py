"""Parser of JSON text to values with their places, like those of YAML."""

from __future__ import annotations

import json

from resnetgen.errors import Code, Source, Span, SpecError
from resnetgen.spec.yaml import Value, parse_value

_HINT = "JSON quotes its keys, and has neither comments nor a comma before a closing bracket"


def parse_json(source: Source) -> Value:
    """Return the value of a JSON text. Raises SpecError with the place of the fault.

    The standard library checks the syntax, and the YAML parser, which accepts JSON as well, gives the places; duplicate
    keys and deep nesting are refused as in a spec.
    """
    try:
        # Numbers are not converted: Python's int() would refuse long ones with a text of its own.
        json.loads(source.text, parse_int=len, parse_float=len)
    except json.JSONDecodeError as error:
        span = Span(source, error.pos, error.pos + 1)
        raise SpecError.of(Code.JSON_SYNTAX, f"not JSON: {error.msg}", span, _HINT) from None
    except RecursionError:
        pass  # the YAML parser reports the place
    # JSON allows tabs as white space; ruamel does not.
    return parse_value(Source(source.name, source.text.replace("\t", " ")))
