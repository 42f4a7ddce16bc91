"""verify's measures of two tensors, and the batch that all sides can be given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from resnetgen.errors import Exit, Failure
from resnetgen.verify import Settings
from resnetgen.verify.comparison import Distance
from resnetgen.verify.inputs import Format, Part
from resnetgen.verify.run import verify_sides
from resnetgen.verify.sides import Facts
from resnetgen.verify.values import Values

NAMES = ("a", "b")


def distance(found: Any, wanted: Any) -> Distance:
    one = Distance()
    one.add(np.array(found, np.float32), np.array(wanted, np.float32), NAMES)
    return one


@pytest.mark.parametrize(
    ("found", "wanted", "cosine"),
    [
        ([[1, 2]], [[2, 4]], 1),
        ([[1, 2]], [[-1, -2]], -1),
        ([[1, 0]], [[0, 1]], 0),
        ([[0, 0]], [[0, 0]], 1),
        # A side that is all zero has no direction: it is not "the same direction" as the other.
        ([[0, 0]], [[3, 4]], 0),
        ([[3, 4]], [[0, 0]], 0),
        ([[np.nan, 1]], [[np.nan, 1]], 0),
    ],
)
def test_cosine(found: Any, wanted: Any, cosine: float) -> None:
    assert distance(found, wanted).cosine == pytest.approx(cosine)


def test_a_dead_output_fails_although_the_other_side_is_not_zero() -> None:
    one = distance([[0, 0]], [[3, 4]])
    assert (one.error, one.mean) == (1, 7 / 2 / 4)
    other = distance([[3, 4]], [[0, 0]])
    assert (other.error, other.mean) == (4, 3.5)


# The batch


@dataclass
class FixedSide:
    """Doubles its input, a fixed number of images at a time."""

    name: str
    batch: int | None
    ran: list[int] = field(default_factory=list)
    format = Format((2, 1, 1), np.dtype(np.float32))
    tolerance = 1e-4
    folds = False
    norms: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def run(self, part: Part, inner: bool) -> Values:
        assert self.batch in (None, len(part.data))
        self.ran.append(len(part.data))
        return Values({"output": (part.data * 2).reshape(len(part.data), 2)})

    def facts(self) -> Facts:
        return Facts(self.name, self.name, "numpy", "here", self.batch)


@pytest.mark.parametrize(
    ("batches", "together"),
    [((None, None), 1), ((None, 4), 4), ((3, 3), 3), ((2, 3), 6), ((4, 6), 12), ((2, 8), 8), ((2, 3, 5), 30)],
)
def test_sides_of_different_batches_run_the_same_images(batches: tuple[int | None, ...], together: int) -> None:
    """The smallest batch that each side's own divides; each side takes it in pieces of its own size."""
    sides = [FixedSide(f"side{number}", batch) for number, batch in enumerate(batches)]
    report = verify_sides("net", sides, Settings())
    assert report.passed
    assert {(one.batch, one.images) for one in report.comparisons} == {(together, together)}
    for side in sides:
        assert sum(side.ran) == together
        assert set(side.ran) == {side.batch or together}


def test_a_batch_that_is_no_multiple_of_a_sides_own() -> None:
    with pytest.raises(Failure) as caught:
        verify_sides("net", [FixedSide("two", 2), FixedSide("three", 3)], Settings(batches=(3,)))
    (problem,) = caught.value.problems
    assert caught.value.exit is Exit.USAGE
    assert problem.message == "two is fixed to a batch of 2; 3 images are no multiple of it"
    assert problem.hint == "--batch 2"
