"""Reader of torch.save: a zip file of a pickle, data.pkl, and one member per storage.

A storage is the member data/<key>, which is stored, not compressed; a record `byteorder` is `little` or `big`.
https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from resnetgen.weights.checkpoint.archive import Member, read_member, verify
from resnetgen.weights.checkpoint.contents import Contents, TensorInfo
from resnetgen.weights.checkpoint.pickle_vm import BadPickle
from resnetgen.weights.checkpoint.state_dict import choose, unwrap
from resnetgen.weights.checkpoint.torch_tensors import UNTYPED, ClaimedTensor, load_tensors
from resnetgen.wire.access import Ranges
from resnetgen.wire.dtypes import Order, Values, loaded, show_shape, stored, width

PICKLE = "data.pkl"
MAX_PICKLE = 16 << 20
"""Limit in bytes; that of ResNet-152 has 130 KB."""


def read(ranges: Ranges, members: Mapping[str, Member]) -> Contents:
    """Read the list of tensors of a file of torch.save. Raises ModelError if it is damaged or has other
    objects than tensors."""
    pickle = next(member for name, member in members.items() if name == PICKLE or name.endswith(f"/{PICKLE}"))
    folder = pickle.name.removesuffix(PICKLE)
    if f"{folder}constants.pkl" in members:
        hint = "torch.save(torch.jit.load(FILE).state_dict(), NEW) writes its weights"
        raise ranges.refuse("it is a TorchScript program, of which the weights are a part", hint=hint)
    order = read_member(ranges, members[f"{folder}byteorder"], 16) if f"{folder}byteorder" in members else b"little"
    if order not in (b"little", b"big"):
        raise ranges.refuse(f"its byte order is {order!r}", members[f"{folder}byteorder"].place)
    try:
        tensors = choose(load_tensors(read_member(ranges, pickle, MAX_PICKLE)))
    except BadPickle as error:
        hint = "torch.save(model.state_dict(), NEW) writes tensors alone"
        raise ranges.refuse(f"its pickle cannot be read: {error}", pickle.place, hint) from None
    contents = Contents(ranges, ranges.size)
    reader = _Reader(ranges, members, f"{folder}data/", "<" if order == b"little" else ">")
    for name, tensor in unwrap(tensors).items():
        reader.add(contents, name, tensor)
    return contents


class _Reader:
    """Reader that checks tensors against the members that they refer to."""

    def __init__(self, ranges: Ranges, members: Mapping[str, Member], folder: str, order: Order) -> None:
        self._ranges = ranges
        self._members = members
        self._folder = folder
        self._order = order

    def add(self, contents: Contents, name: str, tensor: ClaimedTensor) -> None:
        called = f"the tensor {name[:200]!r}"
        member = self._members.get(f"{self._folder}{tensor.storage.key}")
        if member is None:
            raise self._ranges.refuse(f"{called} names the storage {tensor.storage.key!r}, which is missing")
        if member.is_deflated:
            raise self._ranges.refuse(f"{called} is compressed", member.place)
        if tensor.is_view:
            what = f"{called} is a negated or conjugated view; .contiguous() resolves it"
            raise self._ranges.refuse(what, member.place)
        size = width(tensor.dtype)
        storage = tensor.storage
        if storage.dtype not in (UNTYPED, tensor.dtype):
            raise self._ranges.refuse(f"{called} is not of the type of its storage", member.place)
        if storage.elements * (1 if storage.dtype == UNTYPED else size) != member.size:
            what = f"{called} claims a storage of {storage.elements:,} elements, which holds {member.size:,} bytes"
            raise self._ranges.refuse(what, member.place)
        elements = member.size // size
        span = _span(tensor)
        if prod(tensor.shape) > elements or tensor.offset + span > elements:
            what = f"{called} of {show_shape(tensor.shape)} takes more than its storage of {elements:,} elements"
            raise self._ranges.refuse(what, member.place)
        start = member.start + tensor.offset * size
        place = (start, start + span * size) if _is_contiguous(tensor) else (0, 0)
        entry = TensorInfo(name, tensor.dtype, tensor.shape, *place)
        contents.add(entry, partial(self._load, tensor, member, start, span))

    def _load(self, tensor: ClaimedTensor, member: Member, start: int, span: int) -> Values:
        values = np.empty(span, stored(tensor.dtype, self._order))
        check = self._ranges.fill(values, start)
        if (start, start + values.nbytes) == member.place:
            verify(self._ranges, member, check)
        values = loaded(values, tensor.dtype)
        if _is_contiguous(tensor):
            return values.reshape(tensor.shape)
        return as_strided(values, tensor.shape, [stride * values.itemsize for stride in tensor.strides]).copy("C")


def _span(tensor: ClaimedTensor) -> int:
    """Return the number of elements of the storage from the tensor's first to its last."""
    if 0 in tensor.shape:
        return 0
    return 1 + sum((dim - 1) * stride for dim, stride in zip(tensor.shape, tensor.strides, strict=True))


def _is_contiguous(tensor: ClaimedTensor) -> bool:
    step = 1
    for dim, stride in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if dim > 1 and stride != step:
            return False
        step *= dim
    return True
