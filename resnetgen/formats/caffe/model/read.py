"""Reader of a prototxt, or of a NetParameter, as the net that Caffe builds in the phase TEST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resnetgen.errors import Code, Failure, LimitError, ModelError, Source, Span
from resnetgen.escape import escape
from resnetgen.formats.caffe.model import text
from resnetgen.formats.caffe.model.attributes import Attribute, Attributes, attributes, grouped, value_of
from resnetgen.formats.caffe.model.field_values import fields_of, typed
from resnetgen.formats.caffe.model.layers import INPUT, CaffeStructure, Layer, Output
from resnetgen.formats.caffe.model.schema import known_fields
from resnetgen.formats.caffe.model.text import Message, TextField
from resnetgen.formats.caffe.model.upgrade import upgraded
from resnetgen.formats.values import Value, Word


def load(path: Path) -> CaffeStructure:
    """Load a prototxt. Raises Failure: exit 4 if it is invalid or Caffe cannot run it, 5 if it is missing, 6 if it is
    too large."""
    return parse(text.read(path))


def parse(source: Source) -> CaffeStructure:
    """Return the net of a text. Raises Failure like load."""
    return of_fields(text.parse(source).fields, source)


def of_fields(fields: tuple[TextField, ...], source: Source) -> CaffeStructure:
    """Return the net of the fields of a NetParameter. Raises Failure like load."""
    return _Reader(source).model(fields)


def of_message(net: Any, name: str) -> CaffeStructure:
    """Return the net of a NetParameter, such as a caffemodel's; its layers have no places. Raises Failure like load."""
    source = Source(name, "")
    return of_fields(fields_of(net, Span(source, 0, 0)), source)


_STRUCTURE = ("name", "type", "bottom", "top", "include", "exclude", "param")
"""Fields of a layer that are not its attributes."""
MAX_AXES = 32
"""Limit of axes of a blob in Caffe."""


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.layers: list[Layer] = []
        self.writer: dict[str, Output] = {}
        """Blob -> the output that wrote it last."""
        self.left_out: dict[str, Span] = {}
        """Blob -> a layer of another phase that writes it."""
        self.level = 0
        self.stages: set[str] = set()

    def model(self, fields: tuple[TextField, ...]) -> CaffeStructure:
        layers = _layers(fields)
        if not layers:
            hint = "a net's layers are written as layer { ... }; a solver's file has none"
            raise ModelError.of(Code.BAD_MODEL, f"{self.source.name} has no layers", hint=hint)
        rest = attributes(tuple(field for field in fields if field.name not in ("layer", "layers")), "NetParameter")
        self._state(rest)
        self._declared(rest)
        for field in layers:
            if not isinstance(field.value, Message):
                raise _bad("layer takes a message", field.span)
            self._layer(field.value, field.span)
        name = rest.pop("name", None)
        title, span = (str(name.value), name.span) if name else ("", None)
        values, places = _split(rest)
        return CaffeStructure(self.source.name, title, tuple(self.layers), values, span, places)

    def _state(self, attrs: Attributes) -> None:
        """Set the state for include and exclude rules. The phase is TEST, whatever the file sets."""
        for path in [path for path in attrs if path.startswith("state.")]:
            value = attrs.pop(path).value
            if path == "state.level" and isinstance(value, int):
                self.level = value
            if path == "state.stage" and isinstance(value, tuple):
                self.stages = set(map(str, value))

    def _declared(self, attrs: Attributes) -> None:
        """Add the inputs that `input` declares, with `input_shape` or `input_dim`."""
        names = attrs.pop("input", None)
        dims = attrs.pop("input_dim", None)
        shapes = _shapes(attrs, "input_shape")
        if not names:
            if dims or shapes:
                raise _bad("a shape without an input", (dims or shapes[0]).span, 'input: "data" is missing')
            return
        assert isinstance(names.value, tuple)
        if dims and shapes:
            raise _bad("both input_dim and input_shape are given", dims.span, "leave out input_dim")
        if dims:
            assert isinstance(dims.value, tuple)
            if len(dims.value) != 4 * len(names.value):
                message = f"input_dim is given {len(dims.value)} times; each of {len(names.value)} inputs takes four"
                raise _bad(message, dims.span)
            rows = range(0, len(dims.value), 4)
            shapes = [Attribute(dims.value[row : row + 4], dims.span) for row in rows]
        if shapes and len(shapes) != len(names.value):
            raise _bad(f"{len(shapes)} shapes for {len(names.value)} inputs", shapes[0].span)
        for at, name in enumerate(names.value):
            text.check_name(str(name), names.span)
            self._input(str(name), shapes[at : at + 1], {}, names.span)

    def _input(self, blob: str, shape: list[Attribute], others: Attributes, span: Span) -> None:
        if shape and isinstance(axes := shape[0].value, tuple) and len(axes) > MAX_AXES:
            raise _bad(f"a shape of {len(axes)} axes; Caffe's blobs have at most {MAX_AXES}", shape[0].span)
        attrs = {**others, **({"shape": shape[0]} if shape else {})}
        values, places = _split(attrs)
        self.writer[blob] = (len(self.layers), 0)
        self.layers.append(Layer(blob, INPUT, values, tops=(blob,), span=span, places=places))

    def _layer(self, layer: Message, span: Span) -> None:
        groups = grouped(layer.fields)
        tops = _strings(groups, "top")
        if not self._runs(groups):
            self.left_out.update((top, span) for top in tops)
            return
        name = "".join(_strings(groups, "name"))
        (kind,) = _strings(groups, "type") or ("",)
        if not kind:
            raise _bad(f"the layer {escape(name)} has no type", span)
        attrs = attributes(tuple(field for field in layer.fields if field.name not in _STRUCTURE), "LayerParameter")
        if kind == INPUT:
            self._inputs(tops, attrs, span)
            return
        inputs = tuple(self._read(field, name) for field in groups.get("bottom", ()))
        self.writer.update((top, (len(self.layers), index)) for index, top in enumerate(tops))
        values, places = _split(attrs)
        params = [_Param(field) for field in groups.get("param", ())]
        self.layers.append(
            Layer(
                name,
                kind,
                values,
                inputs,
                _strings(groups, "bottom"),
                tops,
                tuple(param.name for param in params),
                bool(params) and all(param.lr_mult == 0 for param in params),
                span,
                places | _places(groups),
            )
        )

    def _inputs(self, tops: tuple[str, ...], attrs: Attributes, span: Span) -> None:
        """Add the inputs of an Input layer, which has one shape for each top, or one for all."""
        shapes = _shapes(attrs, "input_param.shape")
        if len(tops) * sum(_size(a.value) for a in attrs.values()) > text.MAX_WORDS:
            message = f"an Input layer whose fields, once for each top, are more than {text.MAX_WORDS:,} values"
            raise LimitError.of(Code.LIMIT, message, span)
        if len(shapes) not in (0, 1, len(tops)):
            raise _bad(f"{len(shapes)} shapes for {len(tops)} inputs", shapes[0].span)
        for at, top in enumerate(tops):
            self._input(top, shapes if len(shapes) < 2 else shapes[at : at + 1], attrs, span)

    def _read(self, bottom: TextField, layer: str) -> Output:
        blob = str(typed(bottom, known_fields("LayerParameter")["bottom"]))
        if blob in self.writer:
            return self.writer[blob]
        hint = "a bottom is an input, or the top of a layer before"
        if blob in self.left_out:
            hint = f"{self.left_out[blob]} writes it, but not in the phase TEST; compare the deploy prototxt"
        message = f"the layer {escape(layer)} reads {escape(blob)}, which nothing before it writes"
        raise _bad(message, bottom.span, hint)

    def _runs(self, groups: dict[str, list[TextField]]) -> bool:
        """Return True if a layer runs, by Caffe's rule: any include rule is met, or there is none; and no exclude rule
        is met."""
        include, exclude = groups.get("include", ()), groups.get("exclude", ())
        return (not include or any(map(self._meets, include))) and not any(map(self._meets, exclude))

    def _meets(self, rule: TextField) -> bool:
        if not isinstance(rule.value, Message):
            raise _bad(f"{rule.name} takes a message", rule.span)
        known = known_fields("NetStateRule")
        fields = grouped(rule.value.fields).items()
        rules: dict[str, Any] = {name: value_of(group, known[name]) for name, group in fields if name in known}
        return (
            rules.get("phase", Word("TEST")) == Word("TEST")
            and rules.get("min_level", self.level) <= self.level <= rules.get("max_level", self.level)
            and self.stages.issuperset(rules.get("stage", ()))
            and self.stages.isdisjoint(rules.get("not_stage", ()))
        )


class _Param:
    """A `param` of a layer: its name if layers share it, and its learning rate."""

    def __init__(self, param: TextField) -> None:
        groups = grouped(param.value.fields) if isinstance(param.value, Message) else {}
        known = known_fields("ParamSpec")
        attrs = {name: value_of(groups[name], known[name]) for name in ("name", "lr_mult") if name in groups}
        self.name, self.lr_mult = str(attrs.get("name", "")), attrs.get("lr_mult", 1.0)
        if "name" in groups:
            text.check_name(self.name, groups["name"][0].span)


def _layers(fields: tuple[TextField, ...]) -> list[TextField]:
    """Return the layers, those of the layout of 2014 as they are written today."""
    layers = [field for field in fields if field.name == "layer"]
    old = [field for field in fields if field.name == "layers"]
    if layers and old:
        raise _bad(
            "a net of both `layer` and `layers`", old[0].span, "Caffe runs only one of them: leave out the other"
        )
    return layers or [upgraded(field) for field in old]


def _split(attrs: Attributes) -> tuple[dict[str, Value], dict[str, Span]]:
    return {path: a.value for path, a in attrs.items()}, {path: a.span for path, a in attrs.items()}


def _shapes(attrs: Attributes, path: str) -> list[Attribute]:
    """Remove the BlobShapes at a path from `attrs`, and return them. One without dims is the shape of a scalar."""
    shapes: list[Attribute] = []
    while True:
        at = f"{path}[{len(shapes)}]"
        if f"{at}.dim" in attrs:
            shapes.append(attrs.pop(f"{at}.dim"))
        elif at in attrs:
            shapes.append(Attribute((), attrs.pop(at).span))
        else:
            return shapes


def _size(value: Value) -> int:
    """Return the number of scalars in a value; long texts count as several."""
    if isinstance(value, tuple):
        return sum(map(_size, value))
    return 1 + len(value) // 100 if isinstance(value, str) else 1


def _strings(groups: dict[str, list[TextField]], name: str) -> tuple[str, ...]:
    if name not in groups:
        return ()
    value = value_of(groups[name], known_fields("LayerParameter")[name])
    strings = tuple(map(str, value)) if isinstance(value, tuple) else (str(value),)
    for string, field in zip(strings, groups[name], strict=True):
        text.check_name(string, field.span)
    return strings


def _places(groups: dict[str, list[TextField]]) -> dict[str, Span]:
    """Return the places of a layer's type, tops, bottoms and parameters, by their paths."""
    places: dict[str, Span] = {name: groups[name][0].span for name in ("type", "top") if name in groups}
    for name, path in (("bottom", "bottom[{}]"), ("param", "param[{}].name")):
        places |= {path.format(at): field.span for at, field in enumerate(groups.get(name, ()))}
    return places


def _bad(message: str, span: Span, hint: str = "") -> Failure:
    return ModelError.of(Code.BAD_MODEL, message, span, hint)
