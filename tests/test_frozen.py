"""Our values behave as the dataclasses that they say they are: held to the standard library's own, class by class."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar

import pytest

from resnetgen.frozen import Frozen


class Point(Frozen):
    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    tags: dict[str, int] = field(default_factory=dict, repr=False)


class Named(Point):
    name: str = ""


class Empty(Frozen):
    """Nothing is in it."""


@dataclass(frozen=True)
class StandardPoint:
    kind: ClassVar[str] = "point"
    x: int
    y: int = 2
    tags: dict[str, int] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class StandardNamed(StandardPoint):
    name: str = ""


@pytest.mark.parametrize(("ours", "theirs"), [(Point, StandardPoint), (Named, StandardNamed)])
@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((1,), {}),
        ((1, 3), {}),
        ((), {"x": 1}),
        ((1,), {"tags": {"a": 1}}),
        ((1, 2, {"a": 1}), {}),
        ((), {}),
        ((1,), {"x": 2}),
        ((1,), {"z": 2}),
        ((), {"y": 2, "z": 1}),
        ((1, 2, {}, "", 5), {}),
        ((1, 2, {}, ""), {"name": "a"}),
        ((), {"y": 2, "z": 1, "tags": {}}),
    ],
)
def test_it_is_made_as_a_dataclass_is(ours: Any, theirs: Any, values: tuple[Any, ...], named: dict[str, Any]) -> None:
    try:
        wanted = theirs(*values, **named)
    except TypeError:
        with pytest.raises(TypeError, match=f"{ours.__name__} has the fields x, y, tags"):
            ours(*values, **named)
        return
    made = ours(*values, **named)
    assert vars(made) == vars(wanted)
    assert repr(made) == repr(wanted).replace("Standard", "")
    assert [f.name for f in fields(ours)] == [f.name for f in fields(theirs)]
    assert ours.__match_args__ == theirs.__match_args__
    assert vars(replace(made, x=5)) == vars(replace(wanted, x=5))
    for other in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(other) is ours
        assert other == made


def test_it_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del point.y
    with pytest.raises(TypeError):
        replace(point, z=1)  # type: ignore[call-arg]
    assert (point.x, point.y) == (1, 2)


def test_equal_are_two_of_one_class_with_equal_fields() -> None:
    same, other = Empty(), Point(1, 3)
    assert Point(1) == Point(1, 2)
    assert Point(1) != other
    assert Point(1) != Named(1)
    assert Point(1) != (1, 2, {})
    assert Empty() == same
    assert len({Empty(), Empty()}) == 1
    assert Point(1).tags is not Point(1).tags


def test_an_op_is_one() -> None:
    from resnetgen.ir.ops import Conv

    assert is_dataclass(Conv)
    first = Conv((3, 3), 8)
    assert first == Conv((3, 3), 8)
    assert hash(first) == hash(Conv((3, 3), 8))
    assert first != Conv((3, 3), 9)
