"""The key `preprocess`, once it is merged -> Preprocess."""

from __future__ import annotations

from resnetgen.errors import Code, Problems, spec_error
from resnetgen.preprocess import Color, Extent, Interpolation, Preprocess
from resnetgen.spec.expressions import is_usable
from resnetgen.spec.rows import parse_size
from resnetgen.spec.syntax import Size
from resnetgen.spec.yaml import Mapping, Scalar, Sequence, Value

_MAX_SIDE = 65_536


def make_preprocess(written: Mapping, image: Size) -> Preprocess:
    """What the keys say for an input. Raises Failure that carries every problem of theirs."""
    problems = Problems()
    given = {key.text: value for key, value in written if not (isinstance(value, Scalar) and value.value is None)}
    channels, extent = image.extents[0], (image.extents[1], image.extents[2])
    with problems:
        color = _color(given.get("color"), written, channels)
    with problems:
        (divide,) = _numbers("divide", given.get("divide"), (1,), positive=True)
    with problems:
        mean = _numbers("mean", given.get("mean"), (0,) * channels)
    with problems:
        std = _numbers("std", given.get("std"), (1,) * channels, positive=True)
    with problems:
        resize = _extent("resize", given["resize"]) if "resize" in given else None
    with problems:
        _check_crop(given.get("crop"), extent)
    problems.raise_if_any()
    word = given.get("interpolation")
    interpolation = Interpolation(word.text) if isinstance(word, Scalar) else Interpolation.BILINEAR
    return Preprocess(color, divide, mean, std, resize, extent, interpolation)


def check_resize(preprocess: Preprocess, written: Mapping) -> None:
    """What is cut out of the resized image must lie in it."""
    (height, width), resize = preprocess.crop, preprocess.resize
    if resize is None:
        return
    sides = (resize, resize) if isinstance(resize, int) else resize
    if height > sides[0] or width > sides[1]:
        shown = resize if isinstance(resize, int) else f"{sides[0]}x{sides[1]}"
        message = f"{height}x{width} cannot be cut out of an image that was resized to {shown}"
        where, hint = written.items["resize"][1].span, "what is cut out is the input's size; make resize as large"
        raise spec_error(Code.BAD_VALUE, message, where, hint)


def _color(value: Value | None, written: Mapping, channels: int) -> Color:
    if not isinstance(value, Scalar):
        hint = f"add `color`, the order of the channels: {', '.join(Color)}"
        raise spec_error(Code.MISSING_KEY, "preprocess has no key 'color'", written.span, hint)
    color = Color(value.text)
    if color.channels != channels:
        fitting = " or ".join(one for one in Color if one.channels == channels)
        hint = fitting or "preprocess: null, for images of so many channels"
        message = f"an image of {channels} channels is not {color}"
        raise spec_error(Code.BAD_VALUE, message, value.span, hint)
    return color


def _numbers(key: str, value: Value | None, default: tuple[float, ...], positive: bool = False) -> tuple[float, ...]:
    if value is None:
        return default
    items = value.items if isinstance(value, Sequence) else (value,)
    if len(items) != len(default):
        hint = "one for each channel, in the order of `color`"
        message = f"{key} has {len(items)} values; the input has {len(default)} channels"
        raise spec_error(Code.BAD_VALUE, message, value.span, hint)
    numbers = []
    for item in items:
        assert isinstance(item, Scalar)
        assert isinstance(item.value, int | float)
        # What is divided by must not be 0, and neither quotient too large for a float32.
        if not is_usable(item.value) or (positive and item.value < 1e-9):
            raise spec_error(Code.BAD_VALUE, f"{key} cannot be {item.text}", item.span, "a positive number" * positive)
        numbers.append(item.value)
    return tuple(numbers)


def _extent(key: str, value: Value) -> int | Extent:
    """256, or height x width."""
    assert isinstance(value, Scalar)
    sides = (value.value,) if isinstance(value.value, int) else parse_size(value).extents
    if len(sides) > 2 or not all(1 <= side <= _MAX_SIDE for side in sides):
        hint = f"one number or height x width, each from 1 to {_MAX_SIDE:,}"
        raise spec_error(Code.BAD_VALUE, f"{key} cannot be {value.text}", value.span, hint)
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _check_crop(value: Value | None, extent: Extent) -> None:
    """It is checked and never used, as a row's size is."""
    if value is None:
        return
    crop = _extent("crop", value)
    if ((crop, crop) if isinstance(crop, int) else crop) != extent:
        message = f"the input is {extent[0]}x{extent[1]}, and {value.text} is cut out"  # type: ignore[union-attr]
        raise spec_error(Code.SIZE_MISMATCH, message, value.span, "leave `crop` out: it is the input's size")
