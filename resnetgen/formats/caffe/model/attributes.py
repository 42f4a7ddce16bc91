"""Attributes of a message that differ from their defaults, each in one canonical form: the field rules of Caffe.

A net is read as it computes in the phase TEST. So these fields are left out: fillers (initial weights); `loss_weight`,
`propagate_down`, `phase`; `moving_average_fraction`, `stable_prod_grad` (training); `engine`, `force_nd_im2col`
(implementation); `force_backward`, `debug_info`. This holds for messages of the schema; in others every field is kept
as it is written.

Where Caffe accepts several spellings, these are equal: `kernel_size: 3`, `kernel_size: [3, 3]` and `kernel_h: 3
kernel_w: 3`, and pads, strides and dilations likewise; `concat_dim` and `axis` of a Concat, `slice_dim` and `axis` of a
Slice; coefficients of 1 and none. BatchNorm's `use_global_stats` is true by default: if it is unset, Caffe goes by the
phase. With `global_pooling` neither the kernel nor the rounding matters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from resnetgen.errors import Code, ModelError, Span
from resnetgen.formats.caffe.model.field_values import foreign, typed
from resnetgen.formats.caffe.model.schema import Known, known_fields
from resnetgen.formats.caffe.model.text import Message, TextField, TextScalar
from resnetgen.formats.values import Value, Word


class Attribute(NamedTuple):
    value: Value
    span: Span


Attributes: TypeAlias = dict[str, Attribute]
"""Path -> value and place."""

_NOT_COMPUTED = {
    "debug_info",
    "engine",
    "force_backward",
    "force_nd_im2col",
    "loss_weight",
    "moving_average_fraction",
    "phase",
    "propagate_down",
    "stable_prod_grad",
}
_DEFAULTS: dict[tuple[str, str], Value] = {
    ("BatchNormParameter", "use_global_stats"): True,
    ("ConvolutionParameter", "dilation"): 1,
    ("ConvolutionParameter", "pad"): 0,
    ("ConvolutionParameter", "stride"): 1,
}
"""Defaults that are set in Caffe's code and not in its schema."""
_EMPTY = Word("{}")
"""Value of an empty message, where that differs from no message."""


def attributes(fields: tuple[TextField, ...], message: str) -> Attributes:
    """Return the attributes of the fields of a message of the schema.

    Raises ModelError, with its place, for a value of the wrong type, and for a second value of a field that takes
    one.
    """
    schema = known_fields(message)
    result: Attributes = {}
    for name, group in grouped(fields).items():
        known = schema.get(name)
        if known is None:
            _add_foreign(result, name, group)
        elif name in _NOT_COMPUTED or known.message == "FillerParameter":
            continue
        elif known.kind == "message":
            result.update(_nested(name, known, group))
        else:
            result[name] = Attribute(value_of(group, known), group[0].span)
    if message in _ONE_FORM:
        _ONE_FORM[message](result)
    return {path: a for path, a in result.items() if a.value != _default(message, path)}


def grouped(fields: tuple[TextField, ...]) -> dict[str, list[TextField]]:
    groups: dict[str, list[TextField]] = {}
    for field in fields:
        groups.setdefault(field.name, []).append(field)
    return groups


def value_of(group: list[TextField], known: Known) -> Value:
    """Return the value of a field of the schema, given all its occurrences."""
    if known.repeated:
        return tuple(typed(field, known) for field in group)
    return typed(_only(group), known)


def plain(fields: tuple[TextField, ...], message: str) -> dict[str, object]:
    """Return the values of all fields as they are written, without their places: equal for files that say the same."""
    result: dict[str, object] = {}
    for name, group in grouped(fields).items():
        known = known_fields(message).get(name) if message else None
        result[name] = [_plain(field, known) for field in group]
    return result


def _plain(field: TextField, known: Known | None) -> object:
    if isinstance(field.value, Message):
        return plain(field.value.fields, known.message if known else "")
    return typed(field, known) if known else foreign(field.value)


def default_of(path: str) -> Value | None:
    """Return the default of a layer's attribute, such as 1 for `convolution_param.stride`; None if it has none."""
    message, name = _field_of(path, "LayerParameter")
    return _default(message, name) if message else None


def is_known(path: str, message: str) -> bool:
    """Return True if the schema has the field of an attribute."""
    inner, name = _field_of(path, message)
    return bool(inner) and name in known_fields(inner)


def _field_of(path: str, message: str) -> tuple[str, str]:
    """Return the innermost message around a field, and the field's name; no message if the schema lacks it."""
    *outer, name = path.split(".")
    for part in outer:
        known = known_fields(message).get(part.partition("[")[0])
        if known is None or known.kind != "message":
            return "", name
        message = known.message
    return message, name.partition("[")[0]


def _default(message: str, name: str) -> Value | None:
    known = known_fields(message).get(name)
    return _DEFAULTS.get((message, name), known.default if known else None)


def _only(group: list[TextField]) -> TextField:
    if len(group) > 1:
        raise ModelError.of(Code.BAD_MODEL, f"{group[1].name} is given twice", group[1].span)
    return group[0]


def _nested(name: str, known: Known, group: list[TextField]) -> Attributes:
    result: Attributes = {}
    if not known.repeated:
        _only(group)
    for at, field in enumerate(group):
        if not isinstance(field.value, Message):
            typed(field, known)  # raises
            continue
        inner = attributes(field.value.fields, known.message)
        if known.repeated and not inner:
            inner = {"": Attribute(_EMPTY, field.span)}
        result.update(_below(f"{name}[{at}]" if known.repeated else name, inner))
    return result


def _add_foreign(result: Attributes, path: str, group: list[TextField]) -> None:
    """Add the values of a field that the schema lacks, and all fields below it.

    One scalar is its value, several are a list; one message is a path, several are numbered. Paths are composed once,
    from the top, so that deep messages take no longer than flat ones.
    """
    scalars = [foreign(field.value) for field in group if isinstance(field.value, TextScalar)]
    if len(scalars) == len(group):
        result[path] = Attribute(scalars[0] if len(group) == 1 else tuple(scalars), group[0].span)
        return
    for at, field in enumerate(group):
        place = f"{path}[{at}]" if len(group) > 1 else path
        if isinstance(field.value, TextScalar):
            result[place] = Attribute(foreign(field.value), field.span)
        elif not field.value.fields:
            result[place] = Attribute(_EMPTY, field.span)
        else:
            for name, inner in grouped(field.value.fields).items():
                _add_foreign(result, f"{place}.{name}", inner)


def _below(path: str, inner: Attributes) -> Attributes:
    return {f"{path}.{name}" if name else path: attribute for name, attribute in inner.items()}


def _window(result: Attributes) -> None:
    for base, stem in (("kernel_size", "kernel"), ("stride", "stride"), ("pad", "pad")):
        sides = [result[name] for side in "hw" if (name := f"{stem}_{side}") in result]
        if sides and base not in result:
            # Caffe takes a missing side for 0, and refuses 0 where it makes no sense.
            pair = tuple(result.pop(f"{stem}_{side}", Attribute(0, sides[0].span)).value for side in "hw")
            result[base] = Attribute(pair, sides[0].span)
    for base in ("kernel_size", "stride", "pad", "dilation"):
        value = result[base].value if base in result else None
        if isinstance(value, tuple) and len(set(value)) == 1:
            result[base] = Attribute(value[0], result[base].span)


def _pooling(result: Attributes) -> None:
    _window(result)
    if "global_pooling" in result and result["global_pooling"].value is True:
        result.pop("kernel_size", None)
        result.pop("round_mode", None)


def _renamed(old: str, new: str) -> Callable[[Attributes], None]:
    def rename(result: Attributes) -> None:
        if old in result and new not in result:
            result[new] = result.pop(old)

    return rename


def _eltwise(result: Attributes) -> None:
    adds = "operation" not in result or result["operation"].value == Word("SUM")
    coefficients = result["coeff"].value if "coeff" in result else ()
    if adds and isinstance(coefficients, tuple) and set(coefficients) == {1.0}:
        del result["coeff"]


_ONE_FORM: dict[str, Callable[[Attributes], None]] = {
    "ConcatParameter": _renamed("concat_dim", "axis"),
    "ConvolutionParameter": _window,
    "EltwiseParameter": _eltwise,
    "PoolingParameter": _pooling,
    "SliceParameter": _renamed("slice_dim", "axis"),
}
"""Message -> function that replaces equivalent spellings by one."""
