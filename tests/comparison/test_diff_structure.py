"""Comparison by structure, against an isomorphism test that tries everything."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from resnetgen.comparison import Net, Record, compare, search
from resnetgen.comparison.compare import _Comparison
from resnetgen.comparison.match import by_structure
from resnetgen.comparison.pair import NetPair
from resnetgen.comparison.partition import Partition
from resnetgen.comparison.work import Work
from support.diff_nets import DATA, FAMILIES, Family, circles, conv, disguised, graph, net, regular, rewired, total


def isomorphic(a: Net, b: Net) -> bool:
    """Try every one-to-one assignment of A's records to B's."""
    return len(a.records) == len(b.records) and any(same_shares(a, b, image) for image in images(a, b, []))


def images(a: Net, b: Net, image: list[int]) -> Iterator[list[int]]:
    """Yield the assignments that keep types, attributes, outputs and reads; `image`: of A's first records."""
    if len(image) == len(a.records):
        yield image
        return
    record = a.records[len(image)]
    reads = [(image[above], index) for above, index in record.inputs]
    for at, other in enumerate(b.records):
        own = (record.type, record.attributes, record.outputs)
        if at in image or own != (other.type, other.attributes, other.outputs):
            continue
        if sorted(reads) == sorted(other.inputs) if record.commutative else tuple(reads) == other.inputs:
            yield from images(a, b, [*image, at])


def same_shares(a: Net, b: Net, image: list[int]) -> bool:
    """Compare, for every two parameters, whether they are one."""
    params = [(at, which) for at, record in enumerate(a.records) for which, _ in enumerate(record.shared)]

    def one(whole: Net, x: tuple[int, int], y: tuple[int, int]) -> bool:
        names = [(*whole.records[at].shared, "", "")[which] for at, which in (x, y)]
        return names[0] == names[1] != ""

    params += [(image.index(at), which) for at, record in enumerate(b.records) for which, _ in enumerate(record.shared)]
    pairs = [(x, y) for x in params for y in params if x != y]
    return all(one(a, x, y) == one(b, (image[x[0]], x[1]), (image[y[0]], y[1])) for x, y in pairs)


def small_net(rng: random.Random) -> Net:
    """At most eight records, of few kinds, so that many look alike."""
    records = [DATA]
    kinds = rng.sample(["ReLU", "Convolution", "Eltwise", "Concat", "Slice"], rng.randrange(1, 4))
    names, params = rng.choice([["v", "w"], ["", "v", "w"]]), rng.randrange(3)
    for at in range(1, rng.randrange(3, 9)):
        kind = rng.choice(kinds)
        reads = []
        for _ in range(2 if kind in ("Eltwise", "Concat") else 1):
            above = rng.randrange(max(0, at - rng.choice([2, 9])), at)
            reads.append((above, rng.randrange(records[above].outputs)))
        attributes = {"slope": rng.randrange(2)} if kind == "ReLU" and rng.random() < 0.2 else {}
        shares = tuple(rng.choices(names, k=params)) if kind == "Convolution" else ()
        outputs = 2 if kind == "Slice" else 1
        commutative = kind == "Eltwise"
        records.append(Record(f"l{at}", kind, attributes, tuple(reads), None, {}, outputs, commutative, shares))
    return net(records)


def resharing(whole: Net, rng: random.Random) -> Net:
    """The net with the names of its shared parameters dealt anew, or with one of them changed."""
    names = [name for record in whole.records for name in record.shared]
    if rng.random() < 0.5:
        rng.shuffle(names)
    elif names:
        names[rng.randrange(len(names))] = rng.choice(["", "v", "w"])
    dealt = iter(names)
    records = (replace(record, shared=tuple(next(dealt) for _ in record.shared)) for record in whole.records)
    return replace(whole, records=tuple(records))


def cases(seed: int) -> Iterator[tuple[Net, Net]]:
    rng = random.Random(seed)
    for _ in range(100):
        whole = small_net(rng)
        yield whole, disguised(whole, rng)
        yield whole, disguised(rewired(whole, rng), rng)
        yield whole, disguised(resharing(whole, rng), rng)
        yield whole, disguised(rewired(rewired(whole, rng), rng), rng)


def verdicts(seeds: range) -> Counter[tuple[bool, bool]]:
    """(isomorphic, said to be equal) -> how many pairs of nets."""
    return Counter((isomorphic(a, b), compare(a, b, ignore_names=True).equal) for seed in seeds for a, b in cases(seed))


def test_small_nets_are_equal_where_they_are_isomorphic() -> None:
    found = verdicts(range(6))
    assert found[True, True] > 700
    assert found[False, False] > 600
    assert len(found) == 2, found


def test_the_test_sees_sharers_that_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def same_number(comparison: _Comparison, x: int, y: int, at: int) -> bool:
        sizes = [0, 0]
        for side, whole, place in ((0, comparison.a, x), (1, comparison.b, y)):
            names = whole.records[place].shared[at : at + 1]
            sizes[side] = sum(record.shared.count(names[0]) for record in whole.records) if names and names[0] else 1
        return sizes[0] == sizes[1]

    monkeypatch.setattr(_Comparison, "_same_sharers", same_number)
    assert verdicts(range(3))[False, True]


def test_the_test_sees_reads_that_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Comparison, "_bottoms", lambda *_: iter(()))
    assert verdicts(range(2))[False, True]


def test_the_test_sees_a_choice_that_is_never_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal nets are then said to differ, where all look alike."""
    whole = regular(60, 1)
    other = disguised(whole, random.Random(1))
    assert compare(whole, other, ignore_names=True).equal
    monkeypatch.setattr(search, "MAX_WASTED", -1)
    monkeypatch.setattr(search, "WASTED_PER_EDGE", 0)
    assert not compare(whole, other, ignore_names=True).equal


# Shared parameters


def test_sharers_are_compared_by_who_they_are() -> None:
    """Two pairs of layers share in each net, but other layers: no layer shares with another number of layers."""
    kinds = [Record(f"l{at}", "InnerProduct", {"size": at}, ((0, 0),)) for at in range(4)]

    def shares(names: str) -> Net:
        return net([DATA, *(replace(record, shared=(name,)) for record, name in zip(kinds, names, strict=True))])

    assert compare(shares("vvww"), shares("wwvv"), ignore_names=True).equal
    difference = compare(shares("vvww"), shares("vwvw"), ignore_names=True)
    assert [layer.a.name for layer in difference.layers] == ["l0", "l1", "l2", "l3"]
    assert [str(layer.fields[0]) for layer in difference.layers][1] == 'param[0].name: "v" (a) -> "w" (a)'


def test_a_group_of_sharers_within_a_larger_one_differs() -> None:
    def shares(names: list[str]) -> Net:
        return net([DATA, *(Record(f"l{at}", "X", {"size": at}, ((0, 0),), shared=(n,)) for at, n in enumerate(names))])

    two, three = shares(["v", "v", ""]), shares(["v", "v", "v"])
    assert len(compare(two, three, ignore_names=True).layers) == 3
    assert len(compare(three, two, ignore_names=True).layers) == 3


def test_the_place_of_a_shared_parameter_counts() -> None:
    one = net([DATA, conv("a", 0, ("w", "b")), conv("b", 1, ("w", ""))])
    other = net([DATA, conv("a", 0, ("b", "w")), conv("b", 1, ("w", ""))])
    assert not compare(one, other, ignore_names=True).equal


# Nets that are hard


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [6, 30, 90])
def test_a_hard_net_equals_itself_in_disguise(family: Family, n: int) -> None:
    for seed in (0, 1):
        whole = family(n, seed)
        for other in (0, 1):
            assert compare(whole, disguised(whole, random.Random(other)), ignore_names=True).equal


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hard_net_with_one_read_changed_differs(family: Family) -> None:
    """One edge is moved: the numbers of readers differ then, so that the nets are not isomorphic."""
    rng = random.Random(3)
    whole = family(40, 0)
    changed = 0
    for _ in range(10):
        other = rewired(whole, rng)
        if readers(other) != readers(whole):
            assert not compare(whole, disguised(other, rng), ignore_names=True).equal
            changed += 1
    assert changed > 2


def readers(whole: Net) -> list[tuple[str, int]]:
    count = Counter(above for record in whole.records for above, _ in record.inputs)
    return sorted((record.type, count[at]) for at, record in enumerate(whole.records))


@pytest.mark.parametrize("limit", [0, 1000, search.MAX_WASTED])
def test_nets_that_look_alike_from_every_node_are_not_equal(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Two circles of three and one of six; random regular ones. Whatever is spent on the search, none is `equal`."""
    monkeypatch.setattr(search, "MAX_WASTED", limit)
    monkeypatch.setattr(search, "WASTED_PER_EDGE", 0)
    assert not compare(circles(60, 0), circles(60, 1), ignore_names=True).equal
    assert not compare(regular(60, 0), regular(60, 1), ignore_names=True).equal
    ladder = [(at, (at + 1) % 8) for at in range(8)]
    moebius = graph(8, [*ladder, *((at, at + 4) for at in range(4))])
    cube = graph(8, [(x, x ^ bit) for x in range(8) for bit in (1, 2, 4) if x < x ^ bit])
    assert not compare(moebius, cube, ignore_names=True).equal


def torus(steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges of a graph on 4x4 places, each of which has an edge by each of the steps, around the borders."""
    return [(4 * r + c, (r + y) % 4 * 4 + (c + x) % 4) for r in range(4) for c in range(4) for y, x in steps]


SHRIKHANDE = torus([(0, 1), (1, 0), (1, 1)])
ROOK = torus([(0, 1), (1, 0)]) + [(r * 4 + c, r * 4 + c + 2) for r in range(4) for c in (0, 1)]
ROOK += [(r * 4 + c, r * 4 + c + 8) for r in (0, 1) for c in range(4)]
"""Two graphs that stay alike when one node of each is matched: each two neighbours, and each two others, share two."""


def test_a_choice_is_taken_back_that_failed_only_after_others() -> None:
    def moved(edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(x + 16, y + 16) for x, y in edges]

    assert not compare(graph(16, SHRIKHANDE), graph(16, ROOK), ignore_names=True).equal
    one, other = graph(32, SHRIKHANDE + moved(ROOK)), graph(32, ROOK + moved(SHRIKHANDE))
    assert compare(one, other, ignore_names=True).equal


@pytest.mark.parametrize("family", FAMILIES)
def test_classes_are_uniform_towards_each_other(family: Family) -> None:
    """Also after choices: members of one class have the same edges into every class."""
    whole = family(40, 0)
    pair = NetPair(whole.records, disguised(whole, random.Random(1)).records, Work())
    classes = Partition(pair)
    assert_uniform(pair, classes)
    for node in range(0, pair.size_a, 7):
        kind = classes.class_of[node]
        if classes.is_open(kind) and classes.choose(node, classes.first(kind, 1)):
            assert_uniform(pair, classes)


def assert_uniform(pair: NetPair, classes: Partition) -> None:
    seen: dict[int, set[tuple[tuple[int, int], ...]]] = {}
    for node, edges in enumerate(pair.edges):
        around = tuple(sorted((classes.class_of[near], edge) for near, edge in edges))
        seen.setdefault(classes.class_of[node], set()).add(around)
    assert all(len(around) == 1 for around in seen.values())


def test_equal_layers_are_matched_in_their_order() -> None:
    whole = net([DATA, *(conv(f"c{at}", 0) for at in range(9)), total("end", list(range(1, 10)))])
    renamed = replace(whole, records=tuple(replace(record, name=f"n{at}") for at, record in enumerate(whole.records)))
    assert by_structure(whole, renamed) == [(at, at) for at in range(11)]


def test_a_partition_returns_to_a_mark() -> None:
    rng = random.Random(4)
    for seed in range(20):
        whole = regular(20, seed)
        pair = NetPair(whole.records, disguised(whole, rng).records, Work())
        classes = Partition(pair)
        mark, before = classes.mark(), state(classes)
        taken_back = 0
        for other in classes.members(classes.class_of[1], 1):
            if classes.choose(1, other):
                assert state(classes) != before
                classes.undo(mark)
            else:
                taken_back += 1
            assert state(classes) == before
        assert taken_back


def state(classes: Partition) -> list[tuple[set[int], set[int]]]:
    found = [(set(classes.members(kind, 0)), set(classes.members(kind, 1))) for kind in range(len(classes.sizes[0]))]
    assert all(classes.class_of[node] == kind for kind, sides in enumerate(found) for node in sides[0] | sides[1])
    return found
