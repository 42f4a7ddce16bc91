"""Errors of arguments name the argument and what it is; never the repr of an object of this package."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import pytest

import resnetgen as rg
from resnetgen.arguments import (
    choose,
    require_flag,
    require_int,
    require_list,
    require_params,
    require_path,
    require_text,
)
from resnetgen.backends.onnxruntime import Provider
from resnetgen.errors import UsageError
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.ir.ops import Relu
from resnetgen.spec.table import Case

REPR = re.compile(r"<[A-Z]\w+[ .:]|\b[A-Z]\w+\([a-z_]*=|\bobject at 0x")
"""An enumeration's member, a Struct, a class without a repr of its own."""


def texts(value: Any) -> list[str]:
    """Return the error texts of every check that refuses a value."""
    found = []
    for check in (require_flag, require_int, require_list, require_path, require_text):
        try:
            check(value, "argument")
        except UsageError as error:
            found.append(str(error))
    for wrong in (lambda: require_params({"classes": value}), lambda: choose(Provider, value, "--provider")):
        with pytest.raises(UsageError) as caught:
            wrong()
        found.append(str(caught.value))
    return found


@pytest.mark.parametrize("value", [Relu(), Dialect.BVLC, Case(None, ()), object(), Relu, b"a", None])
def test_no_error_shows_the_repr_of_an_object(value: object) -> None:
    lines = texts(value)
    assert len(lines) >= 3
    assert [line for line in lines if REPR.search(line)] == []


def test_no_error_of_a_network_does_so() -> None:
    network = rg.load("resnet18")
    assert [line for line in texts(network) if REPR.search(line)] == []


class Kind(StrEnum):
    A = "a"


def test_a_repr_is_seen() -> None:
    assert all(REPR.search(repr(value)) for value in (Kind.A, Case(None, ()), rg.load("resnet18"), object()))
