"""Functions for the global names in a pickle of torch.save: they return tensors as the pickle claims them.

A storage is a persistent id, ("storage", type, key, device, elements); a tensor is returned by
torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, ...), all counted in elements. Each function here gets
the pickle's own arguments, and checks them.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from resnetgen.weights.checkpoint.pickle_vm import IGNORED, BadPickle, Call, load
from resnetgen.wire.dtypes import DTYPES, MAX_RANK

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
UNTYPED = "untyped"
"""Type of a storage counted in bytes; the tensor has the real type."""
_IGNORED = (
    "argparse.Namespace",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
    "torch.device",
)
"""Objects that training scripts save next to the weights: ignored."""


class _Type(Struct, frozen=True):
    """Type of a storage or a tensor."""

    dtype: str


class Storage(Struct, frozen=True):
    dtype: str
    key: str
    elements: int


class ClaimedTensor(Struct, frozen=True):
    """A tensor as the pickle claims it, not yet checked against the file."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    is_view: bool
    """True if it is a lazily negated or conjugated view."""


def load_tensors(pickle: bytes) -> Any:
    """Return the value of a pickle, with a Tensor for each tensor. Raises BadPickle."""
    return load(pickle, _CALLS, _NAMES, _storage)


def _storage(identity: Any) -> Storage:
    match identity:
        case ("storage", _Type(dtype), str(key), str(), int(elements)) if len(key) <= 100 and elements >= 0:
            return Storage(dtype, key, elements)
    raise BadPickle("it is damaged: a storage has invalid fields")


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> ClaimedTensor:
    """Return a tensor. `more` is: requires_grad, hooks, and for a view its pending operations."""
    view = len(more) > 2 and bool(more[2])
    if not isinstance(storage, Storage):
        raise BadPickle("it is damaged: a tensor has no storage")
    return _checked(ClaimedTensor(storage, storage.dtype, offset, shape, strides, view))


def _typed_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *more: Any) -> ClaimedTensor:
    """Return a tensor of an untyped storage, as newer types have it; the type comes after the hooks."""
    if not isinstance(storage, Storage) or len(more) < 3 or not isinstance(more[2], _Type):
        raise BadPickle("it is damaged: a tensor has no storage or no type")
    return _checked(ClaimedTensor(storage, more[2].dtype, offset, shape, strides, any(more[3:])))


def _checked(tensor: ClaimedTensor) -> ClaimedTensor:
    for sizes in ((tensor.offset,), tensor.shape, tensor.strides):
        if not isinstance(sizes, tuple) or len(sizes) > MAX_RANK or any(type(n) is not int or n < 0 for n in sizes):
            raise BadPickle("it is damaged: a tensor's offset, shape or strides are not sizes")
    if len(tensor.shape) != len(tensor.strides) or tensor.dtype == UNTYPED:
        raise BadPickle("it is damaged: a tensor has fewer or more strides than axes, or no type")
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
    "torch.storage.UntypedStorage": _Type(UNTYPED),
    **dict.fromkeys(_IGNORED, IGNORED),
}
