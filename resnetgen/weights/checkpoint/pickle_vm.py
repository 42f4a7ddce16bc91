"""A small pickle interpreter that builds plain values and calls nothing that the pickle names.

pickletools decodes the opcodes; those that tensors need are implemented below, all others are refused. A pickle refers
to functions by global name (`torch._utils._rebuild_tensor_v2`); the caller passes its own function for each name that
it knows, and unknown names are refused. A dict keeps only entries whose key is a string or an integer, because hashing
other keys could take forever.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

MAX_OPCODES = 1_000_000
"""Limit of opcodes; a tensor takes about 30, and this many run in about two seconds."""
_MAX_BITS = 256
"""Limit in bits of an integer; a size has 64, and the state of a random number generator 128."""

# Every later step can use a value again, so no step may copy or join long ones.
_MAX_ARGUMENTS = 16
_MAX_NAME = 200


class BadPickle(ValueError):
    """Not a pickle, or one that needs a refused step. The message says which."""


class Global(Struct, frozen=True):
    """A global name. Nothing was imported for it."""

    name: str


class Ignored:
    """Placeholder for a value that is not needed: the arguments of a training script, a hook."""


IGNORED = Ignored()

Call = Callable[..., Any]
Persistent = Callable[[Any], Any]
"""Function that resolves a persistent id, which refers to values stored outside the pickle."""


def load(data: bytes, calls: Mapping[str, Call], names: Mapping[str, Any], persistent: Persistent) -> Any:
    """Return the value of a pickle.

    `calls`: functions by global name, called with the pickle's arguments; `names`: globals that are values. A function
    refuses its arguments by raising BadPickle, TypeError or ValueError. Raises BadPickle.
    """
    machine = _Machine(calls, names, persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count == MAX_OPCODES:
                raise BadPickle(f"it has more than {MAX_OPCODES:,} steps")
            if opcode.name == "STOP":
                return machine.pop()
            machine.run(opcode.name, argument)
    except BadPickle:
        raise
    except (ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        raise BadPickle(f"it is damaged: {type(error).__name__}: {str(error)[:200]}") from None
    raise BadPickle("it does not end")


class _Machine:
    def __init__(self, calls: Mapping[str, Call], names: Mapping[str, Any], persistent: Persistent) -> None:
        self._calls = calls
        self._names = names
        self._persistent = persistent
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def pop(self) -> Any:
        """Pop the top value. Raises BadPickle if there is none above the last mark."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise BadPickle("it is damaged: it pops from an empty stack")
        return self._stack.pop()

    def run(self, opcode: str, argument: Any) -> None:
        push = self._stack.append
        match opcode:
            case "PROTO" | "FRAME":
                pass
            case "NONE":
                push(None)
            case "NEWTRUE" | "NEWFALSE":
                push(opcode == "NEWTRUE")
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4":
                if argument.bit_length() > _MAX_BITS:
                    raise BadPickle(f"it holds a number of more than {_MAX_BITS} bits")
                push(argument)
            case "FLOAT" | "BINFLOAT":
                push(argument)
            case "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                push(argument)
            case "STRING" | "BINSTRING" | "SHORT_BINSTRING" | "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8":
                push(argument)
            case "MARK":
                self._marks.append(len(self._stack))
            case "POP_MARK":
                self._pop_mark()
            case "POP":
                self.pop()
            case "DUP":
                top = self.pop()
                self._stack += [top, top]
            case "EMPTY_TUPLE":
                push(())
            case "EMPTY_LIST":
                push([])
            case "EMPTY_DICT":
                push({})
            case "EMPTY_SET":
                push(IGNORED)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple([self.pop() for _ in range(int(opcode[-1]))][::-1]))
            case "TUPLE":
                push(tuple(self._pop_mark()))
            case "LIST":
                push(self._pop_mark())
            case "DICT":
                items = self._pop_mark()
                push({})
                self._set(items)
            case "APPEND":
                self._append([self.pop()])
            case "APPENDS":
                self._append(self._pop_mark())
            case "ADDITEMS":
                self._pop_mark()
            case "SETITEM":
                value = self.pop()
                self._set([self.pop(), value])
            case "SETITEMS":
                self._set(self._pop_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self._memo[argument])
            case "GLOBAL":
                push(self._global(argument.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                if not _is_name(name) or not _is_name(module):
                    raise BadPickle("it is damaged: a name is not a text")
                push(self._global(f"{module}.{name}"))
            case "REDUCE" | "NEWOBJ":
                arguments, function = self.pop(), self.pop()
                push(self._call(function, arguments))
            case "BUILD":
                self.pop()  # state of an object, such as a state dict's `_metadata` or a script's arguments: not needed
            case "BINPERSID":
                push(self._persistent(self.pop()))
            case _:
                raise BadPickle(f"it has the step {opcode}, which no tensor needs")

    def _pop_mark(self) -> list[Any]:
        """Pop all values above the last mark."""
        if not self._marks:
            raise BadPickle("it is damaged: it pops from an empty stack")
        at = self._marks.pop()
        items = self._stack[at:]
        del self._stack[at:]
        return items

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target += items
        elif not isinstance(target, Ignored):
            raise BadPickle("it is damaged: it appends to a value that is not a list")

    def _set(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Ignored):
            return
        if not isinstance(target, dict) or len(items) % 2:
            raise BadPickle("it is damaged: it sets entries of a value that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str | int):
                target[key] = value

    def _global(self, name: str) -> Any:
        if name in self._names:
            return self._names[name]
        if name not in self._calls:
            raise BadPickle(f"it refers to {name[:_MAX_NAME]!r}, which no tensor needs")
        return Global(name)

    def _call(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Ignored):
            return IGNORED
        if not isinstance(function, Global) or not isinstance(arguments, tuple) or len(arguments) > _MAX_ARGUMENTS:
            raise BadPickle("it is damaged: it calls a value that is not a function")
        return self._calls[function.name](*arguments)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_NAME
