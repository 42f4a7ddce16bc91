"""Ranges of the numbers that a user gives, and limits of the sizes that follow from them.

The command line takes the ranges of its options from here, so that library and command line refuse the same. Modules
are imported only for an error, since `--help` needs the ranges, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class Range:
    """Smallest and largest number of an option."""

    def __init__(self, smallest: int, largest: int) -> None:
        self.smallest, self.largest = smallest, largest

    def __iter__(self) -> Iterator[int]:
        return iter((self.smallest, self.largest))

    def require(self, number: int | None, option: str) -> None:
        """Raise UsageError for a number outside the range; None is an option that is not set."""
        if number is not None and not self.smallest <= number <= self.largest:
            from resnetgen.errors import Code, UsageError

            digits = number.bit_length() * 3 // 10  # Python prints no number of more than 4,300 digits
            shown = f"{number:,}" if digits < _MAX_DIGITS else f"a number of about {digits:,} digits"
            message = f"{option}: {shown} is outside {self.smallest:,} to {self.largest:,}"
            raise UsageError.of(Code.BAD_ARGUMENT, message)


BATCH = Range(1, 2**31 - 1)
"""Images per batch: the range of a dimension in a prototxt."""
IMAGES = Range(1, 2**31 - 1)
"""Images that are drawn or read."""
SEED = Range(0, 2**64 - 1)
TOP = Range(1, 1_000_000)
"""Classes that are shown for an image; a network has no more."""
NODES = Range(1, 2**31 - 1)
_MAX_DIGITS = 40

MAX_NUMBERS = 1 << 30
"""Limit of numbers in all images in memory at once: 7,133 images of 3x224x224, 4 GiB of float32."""


def require_room(images: int, shape: Sequence[int], what: str, limit: int = MAX_NUMBERS) -> None:
    """Raise LimitError for too many images in memory at once; `what` names them in the error."""
    numbers = images
    for extent in shape:
        numbers *= extent
    if numbers > limit:
        from resnetgen.errors import Code, LimitError

        each = "x".join(map(str, shape))
        message = f"{what}: {images:,} images of {each} are {numbers:,} numbers; the limit is {limit:,}"
        raise LimitError.of(Code.LIMIT, message, hint="fewer images at once")
