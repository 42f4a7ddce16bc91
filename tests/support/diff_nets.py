"""Nets that are hard to compare by structure, and the same nets in disguise."""

from __future__ import annotations

import random
from collections.abc import Callable

from msgspec.structs import replace

from resnetgen.comparison import Net, Record

DATA = Record("data", "Input")


def conv(name: str, above: int, shared: tuple[str, ...] = ()) -> Record:
    return Record(name, "Convolution", inputs=((above, 0),), shared=shared)


def total(name: str, above: list[int]) -> Record:
    """A sum, whose inputs have no order."""
    return Record(name, "Eltwise", inputs=tuple((place, 0) for place in above), commutative=True)


def net(records: list[Record], source: str = "a") -> Net:
    return Net(source, "n", tuple(records))


def graph(nodes: int, edges: list[tuple[int, int]]) -> Net:
    """A convolution of one blob for each node, and a sum of two of them for each edge."""
    sums = [total(f"s{at}", [1 + x, 1 + y]) for at, (x, y) in enumerate(edges)]
    return net([DATA, *(conv(f"c{at}", 0) for at in range(nodes)), *sums])


def pairs(n: int, seed: int) -> Net:
    return graph(n, random_pairs(n, 2 * n, seed))


def random_pairs(n: int, count: int, seed: int) -> list[tuple[int, int]]:
    rng = random.Random(seed)
    return [(rng.randrange(n), rng.randrange(n)) for _ in range(count)]


def regular(n: int, seed: int) -> Net:
    """Each convolution is in three sums: ends of edges are paired at random."""
    rng = random.Random(seed)
    n += n % 2
    ends = [node for node in range(n) for _ in range(3)]
    rng.shuffle(ends)
    return graph(n, list(zip(ends[::2], ends[1::2], strict=True)))


def circles(n: int, seed: int) -> Net:
    """Circles of six sums; with an odd seed half of them are two circles of three, which look the same from within."""
    edges = []
    for start in range(0, n - n % 6, 6):
        if seed % 2 and start % 12:
            edges += [(start + x, start + y) for x, y in ((0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3))]
        else:
            edges += [(start + at, start + (at + 1) % 6) for at in range(6)]
    return graph(n, edges)


def mirrored(n: int, seed: int) -> Net:
    """A row of convolutions, each summed with the next two: each has a double at the same place from the end."""
    return graph(n, [(at, at + step) for step in (1, 2) for at in range(n - step)])


def doubles(n: int, seed: int) -> Net:
    """Convolutions in pairs of equals; both of a pair are summed with both of other pairs, chosen at random."""
    half = n // 2
    edges = random_pairs(half, half, seed)
    return graph(n, [(2 * x + i, 2 * y + j) for x, y in edges for i in (0, 1) for j in (0, 1)])


def star(n: int, seed: int) -> Net:
    """One convolution that is summed with each of the others, twice."""
    return graph(n, [(0, 1 + at % (n - 1)) for at in range(2 * n)])


def ring(n: int, seed: int) -> Net:
    return graph(n, [(at, (at + step) % n) for step in (1, 2) for at in range(n)])


def one_blob(n: int, seed: int) -> Net:
    return graph(n, [])


def twins(n: int, seed: int) -> Net:
    return graph(2, [(0, 1)] * n)


def bipartite(n: int, seed: int) -> Net:
    """Each of some sums reads each of some convolutions."""
    side = round(n**0.5)
    sums = [total(f"s{at}", list(range(1, side + 1))) for at in range(side)]
    return net([DATA, *(conv(f"c{at}", 0) for at in range(side)), *sums])


def chain(n: int, seed: int) -> Net:
    return net([DATA, *(conv(f"c{at}", at) for at in range(n))])


def towers(n: int, seed: int) -> Net:
    """Chains of four equal layers from one blob, all joined by one sum."""
    records = [DATA]
    for at in range(n):
        records.append(conv(f"c{at}", len(records) - 1 if at % 4 else 0))
    return net([*records, total("end", list(range(4, n + 1, 4)))])


def lengths(n: int, seed: int) -> Net:
    """Chains of 1, 2, 3, ... layers from one blob."""
    records = [DATA]
    length = 1
    while len(records) + length <= n:
        for at in range(length):
            records.append(conv(f"c{len(records)}", len(records) - 1 if at else 0))
        length += 1
    return net(records)


def grid(n: int, seed: int) -> Net:
    side = round(n**0.5)
    records = [DATA]
    for at in range(side * side):
        row, column = divmod(at, side)
        above = [at + 1 - side if row else 0, at if column else 0]
        records.append(total(f"s{at}", above))
    return net(records)


def shared(n: int, seed: int) -> Net:
    """Layers of one blob that all share one parameter."""
    return net([DATA, *(conv(f"c{at}", 0, ("w",)) for at in range(n))])


def shared_chain(n: int, seed: int) -> Net:
    return net([DATA, *(conv(f"c{at}", at, ("w", "b")) for at in range(n))])


def shared_crosswise(n: int, seed: int) -> Net:
    """Layers of one blob with two parameters: the first shared by rows, the second by columns."""
    side = round(n**0.5)
    crossed = (divmod(at, side) for at in range(side * side))
    return net([DATA, *(conv(f"c{r}-{c}", 0, (f"row{r}", f"column{c}")) for r, c in crossed)])


def ordered_reads(n: int, seed: int) -> Net:
    """One layer that reads each convolution in order, and one blob many times."""
    reads = tuple((at + 1, 0) for at in range(n)) + ((0, 0),) * n
    return net([DATA, *(conv(f"c{at}", 0) for at in range(n)), Record("end", "Concat", inputs=reads)])


def slices(n: int, seed: int) -> Net:
    """One layer of many outputs, each of which is read."""
    reads = (Record(f"r{at}", "ReLU", inputs=((1, at),)) for at in range(n))
    return net([DATA, Record("cut", "Slice", inputs=((0, 0),), outputs=n), *reads])


Family = Callable[[int, int], Net]

FAMILIES: tuple[Family, ...] = (
    *(one_blob, twins, pairs, regular, circles, mirrored, doubles, star, ring, bipartite, chain, towers, lengths, grid),
    *(shared, shared_chain, shared_crosswise, ordered_reads, slices),
)
"""Each gives a net of about n layers, or of as many edges; the random ones another net for another seed."""


def disguised(whole: Net, rng: random.Random) -> Net:
    """The same net under other names and in another order; sums with their inputs in another order."""
    readers: list[list[int]] = [[] for _ in whole.records]
    waiting = [len(record.inputs) for record in whole.records]
    for at, record in enumerate(whole.records):
        for above, _ in record.inputs:
            readers[above].append(at)
    ready = [at for at, count in enumerate(waiting) if not count]
    order: list[int] = []
    while ready:
        pick = rng.randrange(len(ready))
        ready[pick], ready[-1] = ready[-1], ready[pick]
        order.append(ready.pop())
        for below in readers[order[-1]]:
            waiting[below] -= 1
            if not waiting[below]:
                ready.append(below)
    place = {old: new for new, old in enumerate(order)}
    records = []
    for new, old in enumerate(order):
        record = whole.records[old]
        inputs = [(place[above], index) for above, index in record.inputs]
        if record.commutative:
            rng.shuffle(inputs)
        shares = tuple(f"other {name}" if name else "" for name in record.shared)
        records.append(replace(record, name=f"n{new}", inputs=tuple(inputs), shared=shares))
    return replace(whole, source="b", records=tuple(records))


def rewired(whole: Net, rng: random.Random) -> Net:
    """The net with one input of one layer moved to another layer before it."""
    at = rng.choice([at for at, record in enumerate(whole.records) if record.inputs and at > 1])
    record = whole.records[at]
    inputs = list(record.inputs)
    moved = rng.randrange(len(inputs))
    above = rng.choice([place for place in range(at) if place != inputs[moved][0]])
    inputs[moved] = (above, rng.randrange(whole.records[above].outputs))
    records = (*whole.records[:at], replace(record, inputs=tuple(inputs)), *whole.records[at + 1 :])
    return replace(whole, records=records)


def changed_at(net: Net, at: int, path: str, value: int) -> Net:
    """Return the net with another value in the record at `at`."""
    records = list(net.records)
    records[at] = replace(records[at], attributes={**records[at].attributes, path: value})
    return replace(net, records=tuple(records))
