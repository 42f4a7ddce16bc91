"""Parser of the key `preprocess` of a merged spec, and of preprocess.json: one checker for both."""

from __future__ import annotations

from math import prod

from resnetgen.errors import Code, Problems, Source, SpecError
from resnetgen.escape import escape
from resnetgen.preprocess import MAX_PIXELS, MAX_SIDE, Color, Extent, Interpolation, Preprocess
from resnetgen.spec import json_schema
from resnetgen.spec.expressions import USABLE, is_usable
from resnetgen.spec.json import parse_json
from resnetgen.spec.syntax import Size
from resnetgen.spec.yaml import Mapping, Scalar, Sequence, Value

_MAX_SHOWN = 40
"""Limit in characters of a wrong value that its error repeats; the line itself is shown below it."""


def parse_preprocess(source: Source, extent: Extent | None) -> tuple[Preprocess, bool | None]:
    """Return the preprocessing of a JSON text, and its key `embedded`, or None without one.

    Keys, values and defaults are those of `preprocess:` in a spec. `extent` is the size of the model's input if that is
    fixed: the default of `crop`. Raises Failure (exit 3, or 6 above a limit) with every problem and its place.
    """
    document = parse_json(source)
    problems = Problems()
    json_schema.check(document, json_schema.PREPROCESS_FILE, "the preprocessing", problems)
    problems.raise_if_any()
    assert isinstance(document, Mapping)
    values = _values(document)
    with problems:
        channels = _written_color(values.get("color"), document).channels
    with problems:
        size = _extent("crop", values["crop"]) if "crop" in values else extent
        if size is None:
            hint = "add `crop`, the height and width that the model takes: [224, 224]"
            raise SpecError.of(Code.MISSING_KEY, "the preprocessing has no key 'crop'", document.span, hint)
    problems.raise_if_any()
    assert size is not None
    height, width = (size, size) if isinstance(size, int) else size
    preprocess = make_preprocess(document, Size((channels, height, width), document.span))
    check_resize(preprocess, document)
    embedded = values.get("embedded")
    return preprocess, embedded.value is True if isinstance(embedded, Scalar) else None


def make_preprocess(written: Mapping, input_size: Size) -> Preprocess:
    """Return the preprocessing of checked keys, for an input. Raises SpecError with every problem."""
    problems = Problems()
    values = _values(written)
    channels, extent = input_size.extents[0], (input_size.extents[1], input_size.extents[2])
    with problems:
        color = _color(values.get("color"), written, channels)
    with problems:
        (divide,) = _numbers("divide", values.get("divide"), (1,), positive=True)
    with problems:
        mean = _numbers("mean", values.get("mean"), (0,) * channels)
    with problems:
        std = _numbers("std", values.get("std"), (1,) * channels, positive=True)
    with problems:
        resize = _extent("resize", values["resize"]) if "resize" in values else None
    with problems:
        _check_crop(values.get("crop"), extent)
    problems.raise_if_any()
    word = values.get("interpolation")
    interpolation = Interpolation(word.text) if isinstance(word, Scalar) else Interpolation.BILINEAR
    return Preprocess(color, divide, mean, std, resize, extent, interpolation)


def check_resize(preprocess: Preprocess, written: Mapping) -> None:
    """Raise SpecError if the crop is larger than the resized image."""
    (height, width), resize = preprocess.crop, preprocess.resize
    if resize is None:
        return
    sides = (resize, resize) if isinstance(resize, int) else resize
    if height > sides[0] or width > sides[1]:
        shown = resize if isinstance(resize, int) else f"{sides[0]}x{sides[1]}"
        message = f"an image resized to {shown} is too small for a crop of {height}x{width}"
        where, hint = written.items["resize"][1].span, "the crop is the input's size; make `resize` at least as large"
        raise SpecError.of(Code.BAD_VALUE, message, where, hint)


def _values(written: Mapping) -> dict[str, Value]:
    """Return the values by key; null is treated like a missing key."""
    return {key.text: value for key, value in written if not (isinstance(value, Scalar) and value.value is None)}


def _written_color(value: Value | None, written: Mapping) -> Color:
    if not isinstance(value, Scalar):
        hint = f"add `color`, the order of the channels: {', '.join(Color)}"
        raise SpecError.of(Code.MISSING_KEY, "preprocess has no key 'color'", written.span, hint)
    return Color(value.text)


def _color(value: Value | None, written: Mapping, channels: int) -> Color:
    color = _written_color(value, written)
    if color.channels != channels:
        assert value is not None
        fitting = " or ".join(one for one in Color if one.channels == channels)
        hint = fitting or f"`preprocess: null` for an input of {channels} channels"
        message = f"color {color} does not fit an input of {channels} channels"
        raise SpecError.of(Code.BAD_VALUE, message, value.span, hint)
    return color


def _numbers(key: str, value: Value | None, default: tuple[float, ...], positive: bool = False) -> tuple[float, ...]:
    if value is None:
        return default
    items = value.items if isinstance(value, Sequence) else (value,)
    if len(items) != len(default):
        hint = "one for each channel, in the order of `color`"
        message = f"{key} has {len(items)} values; the input has {len(default)} channels"
        raise SpecError.of(Code.BAD_VALUE, message, value.span, hint)
    numbers = []
    for item in items:
        assert isinstance(item, Scalar)
        assert isinstance(item.value, int | float)
        # A divisor must not be 0, nor a quotient too large for float32.
        if not is_usable(item.value) or (positive and item.value < 1e-9):
            hint = "a positive number" if positive else USABLE
            raise SpecError.of(Code.BAD_VALUE, f"{key} cannot be {_shown(item)}", item.span, hint)
        numbers.append(item.value)
    return tuple(numbers)


def _extent(key: str, value: Value) -> int | Extent:
    """Return one side, or height and width, from 256, 256x256 or [256, 256]."""
    sides: tuple[object, ...]
    if isinstance(value, Sequence):
        sides = tuple(item.value for item in value.items if isinstance(item, Scalar))
    else:
        assert isinstance(value, Scalar)
        sides = _written_size(value) if isinstance(value.value, str) else (value.value,)
    whole = [side for side in sides if type(side) is int and 1 <= side <= MAX_SIDE]
    if len(whole) != len(sides) or len(sides) != (2 if isinstance(value, Sequence) else min(len(sides), 2)):
        hint = f"one number or height x width, each from 1 to {MAX_SIDE:,}"
        raise SpecError.of(Code.BAD_VALUE, f"{key} cannot be {_shown(value)}", value.span, hint)
    if prod(whole) > MAX_PIXELS:
        hint = f"an image has at most {MAX_PIXELS:,} pixels"
        raise SpecError.of(Code.BAD_VALUE, f"{key} cannot be {_shown(value)}", value.span, hint)
    return whole[0] if len(whole) == 1 else (whole[0], whole[1])


def _written_size(value: Scalar) -> tuple[int, ...]:
    from resnetgen.spec.rows import parse_size  # imports the grammar, which hardly any preprocess.json needs

    return parse_size(value).extents


def _shown(value: Value) -> str:
    items = value.items if isinstance(value, Sequence) else (value,)
    text = ", ".join(item.text for item in items if isinstance(item, Scalar))
    return escape(f"[{text}]" if isinstance(value, Sequence) else text, _MAX_SHOWN)


def _check_crop(value: Value | None, extent: Extent) -> None:
    """Raise SpecError if the crop differs from the input's size. It is only checked, like a row's size."""
    if value is None:
        return
    crop = _extent("crop", value)
    if ((crop, crop) if isinstance(crop, int) else crop) != extent:
        message = f"the crop is {_shown(value)}, and the input {extent[0]}x{extent[1]}"
        raise SpecError.of(Code.SIZE_MISMATCH, message, value.span, "remove `crop`: it is the input's size")
