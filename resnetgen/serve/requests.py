"""Bounds of an inference request, checked before it becomes objects.

MLServer makes an object of each tensor and an error of each wrong one: a body within its limit could become a thousand
times as large.
"""

from __future__ import annotations

from typing import Any

import orjson

from resnetgen.serve.asgi import RefusedError
from resnetgen.serve.limits import MAX_RANK


def require_bounded(body: bytes, outputs: int) -> None:
    """Check the number of tensors and of their dimensions, for a model with one input and `outputs` outputs.

    A body that is not JSON, or has another form, is left to the application, which reports the error. Raises
    RefusedError.
    """
    try:
        document = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return
    if not isinstance(document, dict):
        return
    _require_at_most(1, document, "inputs")
    _require_at_most(outputs, document, "outputs")
    inputs = document.get("inputs")
    for tensor in inputs if isinstance(inputs, list) else ():
        if isinstance(tensor, dict):
            _require_at_most(MAX_RANK, tensor, "shape")


def _require_at_most(most: int, holder: dict[str, Any], field: str) -> None:
    values = holder.get(field)
    if isinstance(values, list | dict | str) and len(values) > most:
        raise RefusedError(f"{field} has {len(values):,} entries, {most:,} at most")
