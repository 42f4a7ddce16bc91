"""Choice of the dict of weights among the dicts of a training checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from math import prod
from typing import Any

from resnetgen.weights.checkpoint.pickle_vm import BadPickle
from resnetgen.weights.checkpoint.torch_tensors import ClaimedTensor

_WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes that DataParallel and torch.compile put before every name."""
_MAX_LISTED = 20


def choose(value: Any) -> dict[str, ClaimedTensor]:
    """Return the dict of tensors: the value itself, or the dict under one of its keys (`state_dict`, `model`).

    Raises BadPickle if there is none, or if there are several, of which any could be meant.
    """
    if not isinstance(value, dict):
        raise BadPickle("it is not a dict of tensors")
    inner = [(repr(key[:100]), item) for key, item in value.items() if isinstance(key, str) and isinstance(item, dict)]
    dicts = [(where, _tensors(item)) for where, item in [("the top", value), *inner]]
    states = [(where, tensors) for where, tensors in dicts if _are_weights(tensors)]
    if len(states) > 1:
        where = _listed(where for where, _ in states)
        raise BadPickle(f"it has several dicts of tensors, under {where}: save the one that is meant")
    if not states:
        raise BadPickle(f"it has no dict of tensors; its keys are {_listed(repr(str(key)[:100]) for key in value)}")
    return states[0][1]


def unwrap(tensors: dict[str, ClaimedTensor]) -> dict[str, ClaimedTensor]:
    """Remove the prefix that all names have because the network was wrapped when it was saved."""
    for prefix in _WRAPPERS * 2:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _tensors(values: Mapping[Any, Any]) -> dict[str, ClaimedTensor]:
    return {key: value for key, value in values.items() if isinstance(key, str) and isinstance(value, ClaimedTensor)}


def _are_weights(tensors: Mapping[str, ClaimedTensor]) -> bool:
    """Return True if any tensor has more than one element. A single number may be saved next to the weights: the best
    accuracy so far."""
    return any(prod(tensor.shape) > 1 for tensor in tensors.values())


def _listed(words: Iterable[str]) -> str:
    shown = [*islice(words, _MAX_LISTED + 1)]
    more = ["..."] if len(shown) > _MAX_LISTED else []
    return ", ".join(shown[:_MAX_LISTED] + more) or "none"
