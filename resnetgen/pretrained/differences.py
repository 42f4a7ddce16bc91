"""Differences between the network that a weight file describes and that of the spec, as text."""

from __future__ import annotations

from resnetgen.comparison import FieldDifference, LayerDifference, compare
from resnetgen.escape import escape
from resnetgen.formats.values import Value, show
from resnetgen.pretrained.records import AnchorNames, Bare, Named, Structure

_MAX_FIELDS = 4
"""Limit of differences listed per layer; the rest are counted."""
_MAX_SHOWN = 80
"""Limit in characters of a name or a value in a warning."""


def structure_differences(file: Structure, spec: Structure, shown: str, whole: bool) -> list[str]:
    """Return a line for each layer that differs; empty if both networks compute the same.

    `shown` is the name of the file. If the networks are not `whole`, only the layers that lead to an anchor are
    compared.
    """
    a, b = Bare(file), Bare(spec)
    both = whole and len(a.ends) == len(b.ends) == 1
    names = AnchorNames([*spec.anchors.values()])
    there, here = (Named(one, one.ends if both else (), names) for one in (a, b))
    difference = compare(there.net, here.net)
    report = _Report(there, here)
    lines = [line for layer in difference.layers if (line := report.layer(layer))]
    if not lines:
        lines += [f"it has a {_short(only.record.type)} that the spec lacks" for only in difference.only_a]
        lines += [f"it lacks a {only.record.type} that the spec has" for only in difference.only_b]
    return [f"{shown} was built otherwise: {line}" for line in lines]


class _Report:
    def __init__(self, there: Named, here: Named) -> None:
        self._there, self._here = there, here

    def layer(self, layer: LayerDifference) -> str:
        """Return the differences of a layer; empty if only its number of outputs differs."""
        fields = [field for field in layer.fields if field.path != "tops"]
        kinds = [field for field in fields if field.path == "type"]
        lines = [self._field(field) for field in (kinds or fields)[:_MAX_FIELDS]]
        more = [f"and {len(fields) - _MAX_FIELDS:,} differences more"] if len(kinds or fields) > _MAX_FIELDS else []
        return f"{self._called(layer)}: {'; '.join(lines + more)}" if lines else ""

    def _called(self, layer: LayerDifference) -> str:
        at = self._here.by_name[layer.b.name]
        node = self._here.structure.nodes.get(at)
        place = f" ({node.span.short})" if node and node.span else ""
        return f"{_short(self._here.records[at].name)}{place}"

    def _field(self, field: FieldDifference) -> str:
        if field.path == "type":
            return f"{_value(field.a.value)} there, {_value(field.b.value)} in the spec"
        if field.path.startswith("bottom"):
            return f"reads {_read(self._there, field.a.value)} there, {_read(self._here, field.b.value)} in the spec"
        what = _short(field.path.rpartition(".")[2])
        return f"{what} {_value(field.a.value)} there, {_value(field.b.value)} in the spec"


def _read(side: Named, value: Value | None) -> str:
    """Return the network's own name of a layer that is read."""
    at = side.by_name.get(show(value).partition("[")[0]) if value is not None else None
    return "nothing" if at is None else _short(side.records[at].name)


def _value(value: Value | None) -> str:
    return "not set" if value is None else _short(show(value))


def _short(text: str) -> str:
    return escape(text, _MAX_SHOWN)
