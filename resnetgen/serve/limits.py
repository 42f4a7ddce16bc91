"""Limits of `resnetgen serve`, so that one client cannot block the others."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

MAX_CONNECTIONS = 64
"""Connections that are open at the same time."""
ACCEPTED_AT_ONCE = 32
"""Connections that are accepted before surplus ones are closed."""
QUEUE = 1024
"""Connections that the system queues until they are accepted; it drops more, and their clients try again in a
second."""
MAX_HEAD = 16 << 10
"""Bytes of a request line and its headers."""
HEAD_SECONDS = 10
"""Time for a request line and its headers to arrive."""
BODY_SECONDS = 60
"""Time for a body to arrive."""
IDLE_SECONDS = 5
"""Time that a connection stays open between requests."""
STALL_SECONDS = 30
"""Time that a client may leave an answer unread."""

VALUE_BYTES = 32
"""Bytes of JSON per value: a double takes 24 at most, a comma and white space the rest."""
FRAME_BYTES = 64 << 10
"""Bytes of JSON around the values."""
BATCH_BYTES = 32 << 20
"""Bytes of values if the model's batch is dynamic."""
HELD_BYTES = 128 << 20
"""Bytes of all bodies in memory at the same time."""
MAX_INFERENCES = 2
"""Requests that are computed at the same time: one is decoded while another runs, which uses all cores itself."""
MAX_RANK = 16
"""Dimensions of a tensor in a request."""
MAX_ID = 256
"""Characters of a request's id, which the answer repeats."""
MAX_MESSAGE = 500
"""Characters of an error, which may quote the request."""


def body_limit(shape: Sequence[int]) -> int:
    """Return the largest size in bytes of a request's body for a model with an input of this shape; negative extents
    are dynamic.

    For a fixed batch it is the size of the input. For a dynamic batch it has room for one image, and for BATCH_BYTES.
    """
    values = VALUE_BYTES * prod(size for size in shape if size >= 0)
    return FRAME_BYTES + (values if min(shape, default=0) >= 0 else max(values, BATCH_BYTES))
