"""Differences between two nets, as data, JSON and text. Only the text has names escaped, and cut if long."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from resnetgen.comparison.net import Record
from resnetgen.escape import escape, plural
from resnetgen.formats.values import Value, show, to_json


class Side(Struct, frozen=True):
    """A value in one of the nets; None if it has none. `place` is file:line, or the file alone."""

    value: Value | None
    place: str
    default: bool = False
    """True if the value is Caffe's default and not written in the file."""

    def __str__(self) -> str:
        if self.value is None:
            return f"absent ({escape(self.place)})"
        return f"{show(self.value)} ({escape(self.place)}{', default' if self.default else ''})"

    def to_json(self) -> dict[str, object]:
        return {"value": to_json(self.value), "place": self.place, "default": self.default}


class FieldDifference(Struct, frozen=True):
    """Difference in one field. `path` is that of an attribute, or one of: name, type, tops, bottom[i],
    param[i].name."""

    path: str
    a: Side
    b: Side

    def __repr__(self) -> str:
        return f"<FieldDifference {self}>"

    def __str__(self) -> str:
        return f"{escape(self.path)}: {self.a} -> {self.b}"

    def to_json(self) -> dict[str, object]:
        return {"path": self.path, "a": self.a.to_json(), "b": self.b.to_json()}


class LayerDifference(Struct, frozen=True):
    """A layer or an input that is in both nets, with differences."""

    a: Record
    b: Record
    fields: tuple[FieldDifference, ...]

    def __repr__(self) -> str:
        return f"<LayerDifference {_name(self.a)}: {', '.join(escape(field.path) for field in self.fields)}>"

    def render(self) -> str:
        kind = "input" if self.a.is_input else "layer"
        names = _name(self.a) if self.a.name == self.b.name else f"{_name(self.a)} -> {_name(self.b)}"
        type_ = "" if self.a.is_input else f" ({escape(self.a.type)})"
        return "\n".join([f"{kind} {names}{type_}", *(f"  {field}" for field in self.fields)])

    def to_json(self) -> dict[str, object]:
        fields = [field.to_json() for field in self.fields]
        return {"a": self.a.name, "b": self.b.name, "type": self.a.type, "fields": fields}


class Only(Struct, frozen=True):
    """A layer or an input of one net without a match in the other."""

    record: Record
    place: str

    def __repr__(self) -> str:
        return f"<Only {_name(self.record)}: {escape(self.place)}>"

    def __str__(self) -> str:
        if self.record.is_input:
            return f"only in {escape(self.place)}: input {_name(self.record)}"
        return f"only in {escape(self.place)}: layer {_name(self.record)} ({escape(self.record.type)})"

    def to_json(self) -> dict[str, object]:
        return {"name": self.record.name, "type": self.record.type, "place": self.place}


class Difference(Struct, frozen=True):
    """Differences between the nets a and b. With ignored names, a name alone is not a difference."""

    a: str
    b: str
    """Names of the nets: their files."""
    net: tuple[FieldDifference, ...]
    layers: tuple[LayerDifference, ...]
    only_a: tuple[Only, ...]
    only_b: tuple[Only, ...]
    renamed: tuple[tuple[str, str], ...]
    """(name in a, name in b) of records that are matched under different names."""
    equal_layers: int
    suggest_ignoring_names: bool = False

    def __repr__(self) -> str:
        result = plural(self.equal_layers, "layer") + " equal" if self.equal else self._counts()
        return f"<Difference {escape(self.a)} and {escape(self.b)}: {result}>"

    @property
    def equal(self) -> bool:
        return not (self.net or self.layers or self.only_a or self.only_b)

    def to_json(self) -> dict[str, object]:
        """Return plain values for json.dumps. Inputs are listed with the layers, with the type Input."""
        return {
            "equal": self.equal,
            "a": self.a,
            "b": self.b,
            "net": [field.to_json() for field in self.net],
            "layers": [layer.to_json() for layer in self.layers],
            "only_a": [only.to_json() for only in self.only_a],
            "only_b": [only.to_json() for only in self.only_b],
            "renamed": [list(names) for names in self.renamed],
            "equal_layers": self.equal_layers,
        }

    def render(self) -> str:
        """Return the differences as text, by layer and field in the order of net A; the counts come last."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.net:
            yield "\n".join(["net", *(f"  {field}" for field in self.net)])
        yield from (layer.render() for layer in self.layers)
        yield from map(str, self.only_a + self.only_b)
        if self.renamed:
            shown = ", ".join(f"{escape(a)} -> {escape(b)}" for a, b in self.renamed[:3])
            yield f"renamed: {len(self.renamed)}: {shown}{', ...' if len(self.renamed) > 3 else ''}"
        if self.equal:
            yield f"equal: {plural(self.equal_layers, 'layer')}, 0 differences"
            return
        yield self._counts()
        if self.suggest_ignoring_names:
            yield "hint: many names differ; --ignore-names matches layers by structure"

    def _counts(self) -> str:
        inputs = sum(layer.a.is_input for layer in self.layers)
        inputs += sum(only.record.is_input for only in self.only_a + self.only_b)
        outside = f"{len(self.net)} of the net's fields, " if self.net else ""
        outside += f"{inputs} input{'s differ' if inputs > 1 else ' differs'}, " if inputs else ""
        differ = sum(not layer.a.is_input for layer in self.layers)
        only_a, only_b = (sum(not only.record.is_input for only in side) for side in (self.only_a, self.only_b))
        return (
            f"{outside}{differ} layer{'s differ' if differ != 1 else ' differs'}, "
            f"{only_a} only in A, {only_b} only in B, {self.equal_layers} equal"
        )


def _name(record: Record) -> str:
    return escape(record.name) or "without a name"
