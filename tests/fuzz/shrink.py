"""A faulty input -> a smaller one with the same fault."""

from __future__ import annotations

import time

from fuzz.guard import Fault, Guard


def shrunk(fault: Fault, guard: Guard) -> Fault:
    """Leaves out pieces, ever shorter ones, for as long as that changes something and there is time."""
    end = time.monotonic() + guard.target.shrink_seconds
    size = len(fault.data) // 2
    while size:
        at = 0
        while at < len(fault.data):
            if time.monotonic() > end:
                return fault
            smaller = guard.fault(fault.data[:at] + fault.data[at + size :])
            if smaller and smaller.what == fault.what:
                fault = smaller
            else:
                at += size
        size //= 2
    return fault
