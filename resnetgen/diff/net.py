"""Nets as records that do not depend on the format that they were read from."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import field, replace
from typing import TypeAlias

from resnetgen.errors import Span
from resnetgen.escape import escape
from resnetgen.frozen import Frozen


class Word(Frozen):
    """A value without quotes that is no number, true or false: the value of an enum, for example."""

    text: str


Value: TypeAlias = bool | int | float | str | Word | tuple["Value", ...]

INPUT = "Input"
"""The type of the records that are the net's inputs. Their attribute `shape` is a tuple, where it is known."""


class Record(Frozen):
    """One layer, or one input.

    `attributes` lists what differs from a default, by path, in Caffe's words: `convolution_param.stride`. Reals are
    compared as float32, as Caffe holds them, and lists as tuples: so they are kept.
    """

    name: str
    type: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    inputs: tuple[tuple[int, int], ...] = ()
    """(producer, index): the place of the producer in its net's records, and which of its outputs is read."""
    span: Span | None = None
    places: Mapping[str, Span] = field(default_factory=dict)
    """Places of the attributes; `span` is the place of any that is missing here."""
    outputs: int = 1
    commutative: bool = False
    """Whether the order of the inputs does not matter."""
    shared: tuple[str, ...] = ()
    """For each parameter the name under which layers share it, or nothing; may be shorter than the parameters are."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", {path: canonical(value) for path, value in self.attributes.items()})

    @property
    def is_input(self) -> bool:
        return self.type == INPUT


class Net(Frozen):
    """Records in an order in which they can be computed. Names need not be unique.

    `source` is what differences call the net: the file's name. `attributes` are those of the net itself.
    """

    source: str
    name: str
    records: tuple[Record, ...]
    attributes: Mapping[str, Value] = field(default_factory=dict)
    span: Span | None = None
    """Place of the net's name."""
    places: Mapping[str, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Verify. Raises ValueError where a record reads what none before it produces."""
        for at, record in enumerate(self.records):
            for producer, index in record.inputs:
                if not (0 <= producer < at and 0 <= index < self.records[producer].outputs):
                    raise ValueError(f"{record.name} reads output {index} of record {producer}")

    def placed(self, spans: Mapping[str, Span | None]) -> Net:
        """This net with other places: record name -> span. For a net whose text was never a file of the user."""
        moved = (replace(record, span=spans.get(record.name), places={}) for record in self.records)
        return replace(self, records=tuple(moved), span=None, places={})


def canonical(value: Value) -> Value:
    """The one form of values that are equal: the nearest float32, and a NaN that equals itself."""
    if isinstance(value, tuple | list):
        return tuple(map(canonical, value))
    if not isinstance(value, float):
        return value
    return Word("nan") if math.isnan(value) else float32(value)


def float32(value: float) -> float:
    try:
        nearest: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return nearest


def show(value: Value) -> str:
    """Return a value as a prototxt writes it; a list in brackets, a float32 by its shortest decimal."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return next(text for digits in range(6, 18) if float32(float(text := f"{value:.{digits}g}")) == value)
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escape(escaped)}"'
        case Word():
            return escape(value.text)
        case _:
            return f"[{', '.join(map(show, value))}]"


def to_json(value: Value | None) -> object:
    """Return a value for json.dumps; words and infinities become texts."""
    match value:
        case Word():
            return value.text
        case float() if math.isinf(value):
            return show(value)
        case tuple():
            return [to_json(item) for item in value]
        case _:
            return value
