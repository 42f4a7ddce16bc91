"""Prototxts that differ in a word, and what comes of comparing them."""

from __future__ import annotations

import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.comparison import Difference, compare, parse
from resnetgen.errors import Failure

HEAD = 'name: "n" input: "data" input_shape { dim: [1, 3, 8, 8] }\n'


def differs(a: str, b: str, ignore_names: bool = False) -> Difference:
    """Of two lists of layers, each line a line of a.prototxt or b.prototxt after the first."""
    return compare(parse(HEAD + a, "a.prototxt"), parse(HEAD + b, "b.prototxt"), ignore_names)


def failure(written: str) -> Failure:
    with pytest.raises(Failure) as caught:
        parse(written, "net.prototxt")
    return caught.value


def exit_of(written: str) -> Exit | None:
    """The exit code with which a text is refused; None: it is read, and equals itself."""
    try:
        net = parse(written)
    except Failure as error:
        return exit_code(error) if str(error) else None
    return None if compare(net, net, ignore_names=True).equal else Exit.BUG


def layer(kind: str, params: str = "", bottom: str = "data", top: str = "x") -> str:
    """One layer; several bottoms or tops are divided by spaces."""
    bottoms = " ".join(f'bottom: "{blob}"' for blob in bottom.split())
    tops = " ".join(f'top: "{blob}"' for blob in top.split())
    return f'layer {{ name: "{top.split()[0]}" type: "{kind}" {bottoms} {tops} {params} }}\n'
