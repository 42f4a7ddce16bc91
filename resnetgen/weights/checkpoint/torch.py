"""What torch.save writes: a zip file of a pickle, data.pkl, and a member for the values of each storage.

The pickle names storages by persistent ids, ("storage", type, key, device, elements), and makes a tensor of one by
torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, ...), all counted in elements. A storage is the
member data/<key>, which is stored, not compressed. A record `byteorder` says `little` or `big`.
https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from resnetgen.weights.checkpoint.archive import Member, read_member, verify
from resnetgen.weights.checkpoint.dtypes import DTYPES, Order, Values, loaded, stored, width
from resnetgen.weights.checkpoint.entry import MAX_RANK, Contents, Entry, shown
from resnetgen.weights.checkpoint.pickled import IGNORED, BadPickle, Call, load
from resnetgen.weights.checkpoint.ranges import Ranges

PICKLE = "data.pkl"
MAX_PICKLE = 16 << 20
"""Bytes; ResNet-152's takes 130 KB."""
_WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_UNTYPED = "untyped"
"""A storage counted in bytes; the tensor says the type."""
_IGNORED = (
    "argparse.Namespace",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
    "pathlib.PosixPath",
    "torch.device",
)
"""What training scripts put beside the weights: it is passed over, not made."""


@dataclass(frozen=True)
class _Type:
    """A type of storages or of tensors."""

    dtype: str


@dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str
    elements: int


@dataclass(frozen=True)
class _Tensor:
    """As the pickle claims it; nothing of it has been held against the file."""

    storage: _Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    is_view: bool
    """Negated or conjugated when it is read."""


def read(ranges: Ranges, members: Mapping[str, Member]) -> Contents:
    """Raises Failure (exit 4)."""
    pickle = next(member for name, member in members.items() if name == PICKLE or name.endswith(f"/{PICKLE}"))
    folder = pickle.name.removesuffix(PICKLE)
    if f"{folder}constants.pkl" in members:
        hint = "torch.save(torch.jit.load(FILE).state_dict(), NEW) writes its weights"
        raise ranges.refuse("it is a TorchScript program, of which the weights are a part", hint=hint)
    order = read_member(ranges, members[f"{folder}byteorder"], 16) if f"{folder}byteorder" in members else b"little"
    if order not in (b"little", b"big"):
        raise ranges.refuse(f"its byte order is {order!r}", members[f"{folder}byteorder"].place)
    try:
        value = load(read_member(ranges, pickle, MAX_PICKLE), _CALLS, _NAMES, _storage)
        tensors = _state(value)
    except BadPickle as error:
        hint = "torch.save(model.state_dict(), NEW) writes tensors alone"
        raise ranges.refuse(f"its pickle cannot be read: {error}", pickle.place, hint) from None
    contents = Contents(ranges, ranges.size)
    reader = _Reader(ranges, members, f"{folder}data/", "<" if order == b"little" else ">")
    for name, tensor in _unwrapped(tensors).items():
        reader.add(contents, name, tensor)
    return contents


class _Reader:
    """Holds tensors against the members that they name."""

    def __init__(self, ranges: Ranges, members: Mapping[str, Member], folder: str, order: Order) -> None:
        self._ranges = ranges
        self._members = members
        self._folder = folder
        self._order = order

    def add(self, contents: Contents, name: str, tensor: _Tensor) -> None:
        called = f"the tensor {name[:200]!r}"
        member = self._members.get(f"{self._folder}{tensor.storage.key}")
        if member is None:
            raise self._ranges.refuse(f"{called} names the storage {tensor.storage.key!r}, which is not there")
        if member.is_deflated:
            raise self._ranges.refuse(f"{called} is compressed", member.place)
        if tensor.is_view:
            raise self._ranges.refuse(
                f"{called} is a negated or conjugated view; .contiguous() resolves it", member.place
            )
        size = width(tensor.dtype)
        held = tensor.storage.elements
        if tensor.storage.dtype == _UNTYPED:
            held //= size
        elif tensor.storage.dtype != tensor.dtype:
            raise self._ranges.refuse(f"{called} is not of the type of its storage", member.place)
        if tensor.storage.elements * (1 if tensor.storage.dtype == _UNTYPED else size) != member.size:
            what = (
                f"{called} claims a storage of {tensor.storage.elements:,} elements, which holds {member.size:,} bytes"
            )
            raise self._ranges.refuse(what, member.place)
        span = _span(tensor)
        if prod(tensor.shape) > held or tensor.offset + span > held:
            what = f"{called} of {shown(tensor.shape)} takes more than its storage of {held:,} elements"
            raise self._ranges.refuse(what, member.place)
        start = member.start + tensor.offset * size
        entry = Entry(name, tensor.dtype, tensor.shape, start, start + span * size)
        contents.add(entry, partial(self._load, entry, tensor, member, span))

    def _load(self, entry: Entry, tensor: _Tensor, member: Member, span: int) -> Values:
        values = np.empty(span, stored(entry.dtype, self._order))
        check = self._ranges.fill(values, entry.start)
        if (entry.start, entry.end) == member.place:
            verify(self._ranges, member, check)
        values = loaded(values, entry.dtype)
        if _is_contiguous(tensor):
            return values.reshape(entry.shape)
        return as_strided(values, entry.shape, [stride * values.itemsize for stride in tensor.strides]).copy("C")


def _span(tensor: _Tensor) -> int:
    """Elements of the storage from the tensor's first to its last."""
    if 0 in tensor.shape:
        return 0
    return 1 + sum((dim - 1) * stride for dim, stride in zip(tensor.shape, tensor.strides, strict=True))


def _is_contiguous(tensor: _Tensor) -> bool:
    step = 1
    for dim, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if dim > 1 and stride != step:
            return False
        step *= dim
    return True


# What a pickle of tensors names: each function gets the pickle's own arguments, and trusts none.


def _storage(identity: Any) -> _Storage:
    match identity:
        case ("storage", _Type(dtype), str(key), str(), int(elements)) if len(key) <= 100 and elements >= 0:
            return _Storage(dtype, key, elements)
    raise BadPickle("it is damaged: a storage is not what it should be")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> _Tensor:
    """The rest: whether it requires a gradient, hooks, and for a view what is to be done to it."""
    view = len(more) > 2 and bool(more[2])
    if not isinstance(storage, _Storage):
        raise BadPickle("it is damaged: a tensor has no storage")
    return _checked(_Tensor(storage, storage.dtype, offset, shape, strides, view))


def _typed_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> _Tensor:
    """The same of a storage without a type, as newer types have it; after the hooks comes the type."""
    if not isinstance(storage, _Storage) or len(more) < 3 or not isinstance(more[2], _Type):
        raise BadPickle("it is damaged: a tensor has no storage or no type")
    return _checked(_Tensor(storage, more[2].dtype, offset, shape, strides, any(more[3:])))


def _checked(tensor: _Tensor) -> _Tensor:
    for sizes in ((tensor.offset,), tensor.shape, tensor.strides):
        if not isinstance(sizes, tuple) or len(sizes) > MAX_RANK or any(type(n) is not int or n < 0 for n in sizes):
            raise BadPickle("it is damaged: a tensor's offset, shape or strides are no sizes")
    if len(tensor.shape) != len(tensor.strides) or tensor.dtype == _UNTYPED:
        raise BadPickle("it is damaged: a tensor has other strides than axes, or no type")
    return tensor


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _size(sizes: Any) -> Any:
    return sizes


_CALLS: dict[str, Call] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": _size,
    "collections.OrderedDict": dict,
}
_NAMES: dict[str, Any] = {
    **{f"torch.{name}": _Type(dtype) for name, dtype in _STORAGES.items()},
    **{f"torch.{dtype}": _Type(dtype) for dtype in DTYPES},
    "torch.storage.UntypedStorage": _Type(_UNTYPED),
    **dict.fromkeys(_IGNORED, IGNORED),
}


# Which of the dicts of a checkpoint are the weights.


def _state(value: Any) -> dict[str, _Tensor]:
    """The dict of tensors: the value itself, or what stands under one of its keys (`state_dict`, `model`).

    Raises BadPickle where there is none, and where there are several: which of them is meant cannot be told.
    """
    if not isinstance(value, dict):
        raise BadPickle("it holds no dict of tensors")
    found = {"": value} | {key: inner for key, inner in value.items() if isinstance(key, str)}
    states = {key: _tensors(inner) for key, inner in found.items() if isinstance(inner, dict)}
    # A single number may stand beside the weights: the best accuracy so far.
    states = {key: tensors for key, tensors in states.items() if any(prod(t.shape) > 1 for t in tensors.values())}
    if len(states) > 1:
        raise BadPickle(f"it has several dicts of tensors, under {_listed(states)}: save the one that is meant")
    if not states:
        raise BadPickle(f"it has no dict of tensors; its keys are {_listed(value)}")
    return next(iter(states.values()))


def _tensors(values: Mapping[Any, Any]) -> dict[str, _Tensor]:
    return {key: value for key, value in values.items() if isinstance(key, str) and isinstance(value, _Tensor)}


def _listed(keys: Mapping[Any, Any]) -> str:
    names = [repr(str(key)[:100]) if key != "" else "the top" for key in islice(keys, 20)]
    return ", ".join(names) + (", ..." if len(keys) > len(names) else "")


def _unwrapped(tensors: dict[str, _Tensor]) -> dict[str, _Tensor]:
    """Without the prefix that every name has because the network was wrapped when it was saved."""
    for prefix in _WRAPPERS * 2:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors
