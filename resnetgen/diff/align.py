"""Aligning two nets as two texts are: in one order that depends on structure alone."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from difflib import SequenceMatcher

from resnetgen.diff.classes import Pair, roughly

_MAX_EDITS = 1000
"""Up to which Myers' algorithm is used: its time and memory grow with the square of the edits."""
_MAX_PAIRS = 1_000_000
"""Of records, up to which difflib may look at all of them; beyond, it skips those that come up often."""


def align(pair: Pair, matched: Container[int], keys: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Pairs of the nodes that are not yet matched, by the first key; between those by the second; and so on."""
    orders = [
        [node for node in _ordered(pair, range(start, end)) if node not in matched]
        for start, end in ((0, pair.size_a), (pair.size_a, len(pair.records)))
    ]
    return _aligned(orders[0], orders[1], keys)


def _aligned(a: list[int], b: list[int], keys: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    if not a or not b or not keys:
        return []
    key, *rest = keys
    pairs: list[tuple[int, int]] = []
    from_a = from_b = 0
    for at_a, at_b in [*common([key[x] for x in a], [key[y] for y in b]), (len(a), len(b))]:
        pairs += _aligned(a[from_a:at_a], b[from_b:at_b], rest)
        if at_a < len(a):
            pairs.append((a[at_a], b[at_b]))
        from_a, from_b = at_a + 1, at_b + 1
    return pairs


def common(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]]:
    """Places of a longest common subsequence; of a long one where the two differ in very many places."""
    start, end_a, end_b = 0, len(a), len(b)
    while start < min(end_a, end_b) and a[start] == b[start]:
        start += 1
    while min(end_a, end_b) > start and a[end_a - 1] == b[end_b - 1]:
        end_a, end_b = end_a - 1, end_b - 1
    inner_a, inner_b = a[start:end_a], b[start:end_b]
    inner = _myers(inner_a, inner_b)
    if inner is None:
        skip = len(inner_a) * len(inner_b) > _MAX_PAIRS
        blocks = SequenceMatcher(None, inner_a, inner_b, autojunk=skip).get_matching_blocks()
        inner = [(x + i, y + i) for x, y, size in blocks for i in range(size)]
    before = [(i, i) for i in range(start)]
    after = [(end_a + i, end_b + i) for i in range(len(a) - end_a)]
    return before + [(start + x, start + y) for x, y in inner] + after


def _myers(a: Sequence[int], b: Sequence[int]) -> list[tuple[int, int]] | None:
    """Myers, An O(ND) difference algorithm (1986): `furthest[k]` is how far into `a` the diagonal x - y = k reaches.

    None where more than _MAX_EDITS edits are needed.
    """
    if abs(len(a) - len(b)) > _MAX_EDITS:
        return None
    furthest = {1: 0}
    past: list[dict[int, int]] = []
    for edits in range(min(len(a) + len(b), _MAX_EDITS) + 1):
        past.append(furthest)
        reached: dict[int, int] = {}
        for k in range(-edits, edits + 1, 2):
            x = _step(furthest, k, edits)
            while x < len(a) and x - k < len(b) and a[x] == b[x - k]:
                x += 1
            reached[k] = x
            if x >= len(a) and x - k >= len(b):
                return list(_path(past, k, x))[::-1]
        furthest = reached
    return None


def _step(furthest: dict[int, int], k: int, edits: int) -> int:
    """Where diagonal k starts after one more edit: below its upper neighbour, or right of its lower one."""
    if k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1]):
        return furthest[k + 1]
    return furthest[k - 1] + 1


def _path(past: list[dict[int, int]], k: int, x: int) -> Iterator[tuple[int, int]]:
    """The pairs on the way that ended at x of diagonal k, from the last to the first."""
    for edits in reversed(range(len(past))):
        start = _step(past[edits], k, edits)
        while x > start:
            x -= 1
            yield x, x - k
        if edits:
            down = k == -edits or (k != edits and past[edits][k - 1] < past[edits][k + 1])
            k = k + 1 if down else k - 1
            x = past[edits][k]


def _ordered(pair: Pair, nodes: range) -> list[int]:
    """The nodes depth first from the outputs, inputs before what reads them: each branch in one piece.

    Where the inputs' order does not matter the shorter branch comes first: a changed attribute does not alter that.
    """
    near = roughly(pair, 1)
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
        if pair.records[node].commutative:
            above.sort(key=lambda u: (depth[u], near[u]))
        stack += [u for u in reversed(above) if u not in entered]
    return order
