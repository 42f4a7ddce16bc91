"""Base of all values: frozen dataclasses whose methods are written here, once.

`dataclasses.dataclass` compiles six functions for every class each time that the program starts, in 0.3 ms: for the
hundred classes of a build that was a tenth of its time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, ClassVar, NoReturn, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Frozen:
    """Base class of frozen dataclasses: annotations are fields, and `replace`, `fields` and `match` work as usual.

    Objects cannot be changed, and are equal if their classes and all their fields are.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    __match_args__: ClassVar[tuple[str, ...]]
    _names: ClassVar[frozenset[str]]
    _defaults: ClassVar[dict[str, Any]]
    _factories: ClassVar[dict[str, Callable[[], Any]]]
    _values: ClassVar[Callable[[object], Any]]
    """Function that returns the field values as a tuple (the bare value if there is one field)."""

    def __init_subclass__(cls) -> None:
        cls.__doc__ = cls.__doc__ or cls.__name__  # dataclass would take long to compose one
        dataclass(init=False, repr=False, eq=False)(cls)
        cls._names = frozenset(cls.__match_args__)
        cls._defaults = {f.name: f.default for f in fields(cls) if f.default is not MISSING}
        cls._factories = {f.name: f.default_factory for f in fields(cls) if f.default_factory is not MISSING}
        cls._values = attrgetter(*cls.__match_args__) if cls.__match_args__ else _nothing

    def __init__(self, *values: Any, **named: Any) -> None:
        names, state = self.__match_args__, self.__dict__
        if len(values) < len(names):
            state.update(self._defaults)
        state.update(zip(names, values, strict=False))
        state.update(named)
        if state.keys() != self._names or len(values) > len(names) or (values and named):
            self._complete(values, named)
        self.__post_init__()

    def _complete(self, values: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Fill in default factories. Raises TypeError for a field that is missing, unknown or given twice."""
        names, state = self.__match_args__, self.__dict__
        state.update((name, make()) for name, make in self._factories.items() if name not in state)
        twice = named.keys() & names[: len(values)]
        if len(values) > len(names) or twice or state.keys() != self._names:
            raise TypeError(f"{type(self).__name__} has the fields {', '.join(names)}, not {(*values, *named)}")

    def __post_init__(self) -> None:
        """Check the fields; overridden by subclasses."""

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self is other or bool(type(self)._values(self) == type(self)._values(other))

    def __hash__(self) -> int:
        return hash(type(self)._values(self))

    def __repr__(self) -> str:
        shown = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.repr)
        return f"{type(self).__name__}({', '.join(shown)})"

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")


def _nothing(_: object) -> tuple[()]:
    return ()
