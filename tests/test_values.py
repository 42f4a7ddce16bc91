"""Values cannot be changed, are equal only to values of the same class, and are checked again by `replace`."""

from __future__ import annotations

import pytest
from msgspec import Struct
from msgspec.structs import replace

from resnetgen.errors import Problem, Problems, Source, Span
from resnetgen.ir.graph import Graph, Node
from resnetgen.ir.ops import VOCABULARY, AvgPool, Conv, Mul, OpError, Relu, Silu
from resnetgen.spec.table import Row, Spec


@pytest.mark.parametrize(
    "kind", [*VOCABULARY.values(), Graph, Node, Spec, Row, Span, Problem], ids=lambda kind: kind.__name__
)
def test_it_is_frozen(kind: type[Struct]) -> None:
    assert kind.__struct_config__.frozen
    assert not Problems.__struct_config__.frozen


def test_an_op_cannot_be_changed() -> None:
    conv = Conv((3, 3), 8)
    with pytest.raises(AttributeError, match="immutable type: 'Conv'"):
        conv.groups = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del conv.groups
    assert conv == Conv((3, 3), 8)


def test_equal_are_two_of_one_class_with_equal_fields() -> None:
    same, other = Conv((3, 3), 8, pad=(1, 1)), Conv((3, 3), 9)
    assert Conv((3, 3), 8) == same
    assert hash(Conv((3, 3), 8)) == hash(same)
    assert Conv((3, 3), 8) != other
    assert Relu() != Silu()
    assert Relu() != Mul()
    assert len({Relu(), Relu(), Silu()}) == 2


def test_replace_checks_the_fields_again() -> None:
    assert replace(AvgPool((2, 2)), same=True).same
    with pytest.raises(OpError):
        replace(AvgPool((2, 2), pad=(1, 1)), same=True)


def test_replace_forgets_cached_properties() -> None:
    source = Source("a.yaml", "a\nb")
    assert source.line_starts == [0, 2]
    assert replace(source, text="a").line_starts == [0]


def test_the_repr_of_a_source_has_no_text() -> None:
    assert repr(Source("a.yaml", "stages: secret")) == "Source('a.yaml')"
