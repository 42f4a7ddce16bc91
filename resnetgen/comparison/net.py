"""Nets as records, independent of the format that they were read from."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from resnetgen.errors import Span
from resnetgen.formats.values import Value, canonical

INPUT = "Input"
"""Type of the records that are the net's inputs. Their attribute `shape` is a tuple, if it is known."""


class Record(Struct, frozen=True):
    """One layer, or one input.

    `attributes` has the values that differ from a default, by path, in Caffe's terms: `convolution_param.stride`. Reals
    are stored as float32, as in Caffe, and lists as tuples.
    """

    name: str
    type: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    inputs: tuple[tuple[int, int], ...] = ()
    """(producer, index): place of the producer in its net's records, and index of its output."""
    span: Span | None = None
    places: Mapping[str, Span] = field(default_factory=dict)
    """Places of the attributes; `span` is the place of those missing here."""
    outputs: int = 1
    commutative: bool = False
    """True if the order of the inputs does not matter."""
    shared: tuple[str, ...] = ()
    """For each parameter the name under which layers share it, or an empty text; may be shorter than the parameters."""

    def __post_init__(self) -> None:
        force_setattr(self, "attributes", {path: canonical(value) for path, value in self.attributes.items()})

    @property
    def is_input(self) -> bool:
        return self.type == INPUT


class Net(Struct, frozen=True):
    """Records in topological order. Names need not be unique.

    `source` is the name of the net in differences: its file. `attributes` are those of the net itself.
    """

    source: str
    name: str
    records: tuple[Record, ...]
    attributes: Mapping[str, Value] = field(default_factory=dict)
    span: Span | None = None
    """Place of the net's name."""
    places: Mapping[str, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError if a record reads an output that no record before it has."""
        for at, record in enumerate(self.records):
            for producer, index in record.inputs:
                if not (0 <= producer < at and 0 <= index < self.records[producer].outputs):
                    raise ValueError(f"{record.name} reads output {index} of record {producer}")

    def placed(self, spans: Mapping[str, Span | None]) -> Net:
        """Return the net with other places: record name -> span. For a net whose text was never a file of the user."""
        moved = (replace(record, span=spans.get(record.name), places={}) for record in self.records)
        return replace(self, records=tuple(moved), span=None, places={})
