"""Alignment of two nets like two texts, in an order that depends on structure alone."""

from __future__ import annotations

from collections.abc import Container, Sequence

from resnetgen.comparison.pair import NetPair, nearby
from resnetgen.comparison.subsequence import common

MAX_STEPS = 2_000_000
"""Limit of steps for the longest alignments, plus STEPS_PER_RECORD for each record."""
STEPS_PER_RECORD = 64
"""Additional steps for each record."""


def align(pair: NetPair, matched: Container[int], keys: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Return pairs of the records that are not yet matched.

    They are aligned by the first key; what lies between two pairs is aligned by the second; and so on.
    """
    orders = [
        [node for node in _ordered(pair, range(start, end)) if node not in matched]
        for start, end in ((0, pair.size_a), (pair.size_a, len(pair.records)))
    ]
    limit = pair.work.steps + MAX_STEPS + STEPS_PER_RECORD * len(pair.records)
    return _aligned(pair, orders[0], orders[1], keys, limit)


def _aligned(
    pair: NetPair, a: list[int], b: list[int], keys: Sequence[Sequence[int]], limit: int
) -> list[tuple[int, int]]:
    if not a or not b or not keys:
        return []
    key, *rest = keys
    pairs: list[tuple[int, int]] = []
    from_a = from_b = 0
    places = common([key[x] for x in a], [key[y] for y in b], pair.work, limit)
    for at_a, at_b in [*places, (len(a), len(b))]:
        pairs += _aligned(pair, a[from_a:at_a], b[from_b:at_b], rest, limit)
        if at_a < len(a):
            pairs.append((a[at_a], b[at_b]))
        from_a, from_b = at_a + 1, at_b + 1
    return pairs


def _ordered(pair: NetPair, nodes: range) -> list[int]:
    """Return the records depth first from the outputs, each after its inputs, so that each branch is contiguous.

    If the inputs' order does not matter the shorter branch comes first: a changed attribute does not alter that.
    """
    near = nearby(pair, 1)
    depth = [0] * len(pair.records)
    for node in nodes:
        depth[node] = 1 + max((depth[above] for above, _ in pair.inputs[node]), default=0)
    ends = [node for node in nodes if not pair.readers[node]]
    stack = sorted(ends, key=lambda node: (depth[node], near[node]), reverse=True)
    order: list[int] = []
    entered: set[int] = set()
    done: set[int] = set()
    while stack:
        node = stack[-1]
        if node in entered:
            stack.pop()
            if node not in done:
                done.add(node)
                order.append(node)
            continue
        entered.add(node)
        above = [u for u, _ in pair.inputs[node]]
        pair.work.steps += 1 + len(above)
        if pair.records[node].commutative:
            above.sort(key=lambda u: (depth[u], near[u]))
        stack += [u for u in reversed(above) if u not in entered]
    return order
