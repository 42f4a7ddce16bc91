"""The work of a comparison grows with the size of the nets, not with its square: counted, not timed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

import resnetgen.comparison
from resnetgen.comparison import Net, Record, align, compare, match, parse, search
from resnetgen.comparison.lines import unified_diff
from resnetgen.comparison.match import by_structure
from resnetgen.comparison.subsequence import common
from resnetgen.comparison.work import Work
from resnetgen.errors import Failure, LimitError, ModelError
from resnetgen.formats.caffe.model import text
from support.diff_nets import DATA, FAMILIES, Family, changed_at, conv, disguised, net, regular, rewired
from support.work import lines_run

ROOM = str(Path(resnetgen.comparison.__file__).parent)
STEPS = 2.15
"""How many times the steps may be when the net is twice as large: n log n, at these sizes."""
LINES = 2.2
"""The same of lines, some of which are run for a change that is elsewhere in the larger net."""


def steps(a: Net, b: Net) -> int:
    work = Work()
    by_structure(a, b, work)
    return work.steps


def size(whole: Net) -> int:
    return sum(1 + len(record.inputs) + record.outputs + len(record.shared) for record in whole.records)


def same(family: Family, n: int) -> tuple[Net, Net]:
    whole = family(n, 0)
    return whole, disguised(whole, random.Random(1))


def one_edge(family: Family, n: int) -> tuple[Net, Net]:
    whole = family(n, 0)
    return whole, disguised(rewired(whole, random.Random(2)), random.Random(1))


def another(family: Family, n: int) -> tuple[Net, Net]:
    """Nets that differ all over; of a family that has one net of each size, nets of different size."""
    whole = family(n, 0)
    other = family(n, 1)
    return whole, disguised(other if other != whole else family(n + n // 3, 0), random.Random(1))


Kind = Callable[[Family, int], tuple[Net, Net]]


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach the limits of the searches in small nets, to see that the work beyond them grows no faster."""
    monkeypatch.setattr(search, "MAX_WASTED", 0)
    monkeypatch.setattr(search, "WASTED_PER_EDGE", 1)
    monkeypatch.setattr(align, "MAX_STEPS", 0)
    monkeypatch.setattr(align, "STEPS_PER_RECORD", 4)


def assert_linear(work: Callable[[Net, Net], int], limit: float, kind: Kind, family: Family, n: int) -> None:
    small, large = (kind(family, n) for n in (n, 2 * n))
    growth = (size(large[0]) + size(large[1])) / (size(small[0]) + size(small[1]))
    assert work(*large) <= limit / 2 * growth * work(*small)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("kind", [same, one_edge, another])
@pytest.mark.parametrize("family", FAMILIES)
def test_steps_grow_with_the_size(family: Family, kind: Kind) -> None:
    assert_linear(steps, STEPS, kind, family, 150)


@pytest.mark.parametrize("kind", [same, one_edge, another])
@pytest.mark.parametrize("family", FAMILIES)
def test_steps_stay_below_the_limits(family: Family, kind: Kind) -> None:
    """What the searches may take, and what the rest takes: it is proportional to the size."""
    a, b = kind(family, 100)
    both = size(a) + size(b)
    searches = search.MAX_WASTED + 2 * search.WASTED_PER_EDGE * both + align.MAX_STEPS + align.STEPS_PER_RECORD * both
    assert steps(a, b) <= searches + 20 * both


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("kind", [same, one_edge, "by name"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_whole_comparison_runs_as_many_lines_as_the_nets_are_large(family: Family, kind: Kind | str) -> None:
    def run(a: Net, b: Net) -> None:
        difference = compare(a, b, ignore_names=kind != "by name")
        difference.render()
        json.dumps(difference.to_json())

    nets = one_edge if isinstance(kind, str) else kind
    assert_linear(lambda a, b: lines_run(lambda: run(a, b), ROOM), LINES, nets, family, 30)


def test_the_counts_see_quadratic_work() -> None:
    """The control: a loop over all pairs of records."""
    nets = [net([DATA, *(conv(f"c{at}", 0) for at in range(n))]) for n in (50, 100)]
    path = str(Path(ROOM) / "quadratic.py")
    code = compile("for x in records:\n    for y in records:\n        pass\n", path, "exec")
    small, large = (lines_run(lambda whole=whole: exec(code, {"records": whole.records}), ROOM) for whole in nets)
    assert large > 3 * small > 0


def test_what_the_search_may_waste_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random regular nets need many choices: more than twice as many in a net of twice the size."""
    pairs = [same(regular, n) for n in (200, 400)]
    assert all(compare(a, b, ignore_names=True).equal for a, b in pairs)
    without = [steps(a, b) for a, b in pairs]
    assert without[1] > 2.5 * without[0]
    monkeypatch.setattr(search, "MAX_WASTED", 0)
    monkeypatch.setattr(search, "WASTED_PER_EDGE", 1)
    assert not any(compare(a, b, ignore_names=True).equal for a, b in pairs), "the documented fall-back"


def test_ten_thousand_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three changes in a chain of a thousand blocks that are all alike."""
    counts: list[Work] = []

    class Counted(Work):
        def __init__(self) -> None:
            super().__init__()
            counts.append(self)

    monkeypatch.setattr(match, "Work", Counted)
    records = [Record("data", "Input")]
    for _ in range(1000):
        start = len(records) - 1
        for step in range(8):
            attributes = {"convolution_param.kernel_size": 1 + step} if step % 2 == 0 else {}
            kind = "ReLU" if step % 2 else "Convolution"
            records.append(Record(f"l{len(records)}", kind, attributes, ((len(records) - 1, 0),)))
        last = len(records) - 1
        records.append(Record(f"l{len(records)}", "Eltwise", {}, ((start, 0), (last, 0)), commutative=True))
        records.append(Record(f"l{len(records)}", "ReLU", {}, ((len(records) - 1, 0),)))
    deep = Net("a", "deep", tuple(records))
    other = replace(deep, records=tuple(replace(r, name=f"n{at}") for at, r in enumerate(deep.records)))
    for at in (1001, 5003, 9007):
        other = changed_at(other, at, "convolution_param.kernel_size", 9)
    difference = compare(deep, other, ignore_names=True)
    assert difference.render().splitlines()[-1] == "3 layers differ, 0 only in A, 0 only in B, 9997 equal"
    (work,) = counts
    assert 0 < work.steps <= 20 * (size(deep) + size(other))


# Alignment


def test_alignment_is_limited() -> None:
    """Lists without a common element, and lists of two elements in random order."""
    rng = random.Random(5)
    for n in (500, 1000):
        for a, b in (
            ([0] * n, [1] * n),
            (list(range(n)), list(range(n, 2 * n))),
            ([rng.randrange(2) for _ in range(n)], [rng.randrange(2) for _ in range(n)]),
            (list(range(n)), list(reversed(range(n)))),
        ):
            work = Work()
            pairs = common(a, b, work, limit=10_000)
            assert work.steps <= 10_000 + 3 * n
            assert_common(a, b, pairs)
            lines = lines_run(lambda a=a, b=b: common(a, b, Work(), limit=10_000), ROOM)
            assert lines <= 10 * (10_000 + 3 * n)


def assert_common(a: list[int], b: list[int], pairs: list[tuple[int, int]]) -> None:
    assert all(a[x] == b[y] for x, y in pairs)
    assert all(x < u and y < v for (x, y), (u, v) in pairwise(pairs))


@pytest.mark.parametrize("limit", [0, 20, 10**9])
def test_a_common_subsequence(limit: int) -> None:
    """Against the textbook's table; where the limit is reached it may be shorter, and is never wrong."""
    rng = random.Random(6)
    shorter = 0
    for _ in range(300):
        a, b = ([rng.randrange(4) for _ in range(rng.randrange(12))] for _ in range(2))
        pairs = common(a, b, Work(), limit)
        assert_common(a, b, pairs)
        longest = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for x, one in enumerate(a):
            for y, other in enumerate(b):
                best = max(longest[x][y + 1], longest[x + 1][y])
                longest[x + 1][y + 1] = longest[x][y] + 1 if one == other else best
        assert len(pairs) <= longest[-1][-1]
        shorter += len(pairs) < longest[-1][-1]
    assert (shorter > 0) == (limit < 10**9)


# Files


def layers(*written: str) -> str:
    return 'input: "data"\n' + "\n".join(f"layer {{ {fields} }}" for fields in written)


def many_bottoms(n: int) -> str:
    return layers('name: "x" type: "Concat" ' + 'bottom: "data" ' * n + 'top: "x"')


def many_tops(n: int) -> str:
    return layers('name: "x" type: "Slice" bottom: "data" ' + " ".join(f'top: "t{at}"' for at in range(n)))


def many_inputs(n: int) -> str:
    tops = " ".join(f'top: "t{at}"' for at in range(n))
    return layers(f'type: "Input" {tops} input_param {{ shape {{ dim: [1, 3, 8, 8] }} }}')


def many_values(n: int) -> str:
    return layers(f'name: "x" type: "X" bottom: "data" novel: {list(range(n))}')


def many_fields(n: int) -> str:
    """At a depth of fifty messages."""
    fields = " ".join(f"f{at}: {at}" for at in range(n))
    return layers(f'name: "x" type: "X" bottom: "data" {"p { " * 50} {fields} {"}" * 50}')


def many_rules(n: int) -> str:
    return layers('name: "x" type: "X" bottom: "data" ' + "include { phase: TRAIN } " * n + "include { phase: TEST }")


def many_params(n: int) -> str:
    return layers(*(f'name: "{one}" type: "X" bottom: "data" ' + 'param { name: "w" } ' * n for one in "xy"))


@pytest.mark.parametrize(
    "written", [many_bottoms, many_tops, many_inputs, many_values, many_fields, many_rules, many_params]
)
@pytest.mark.parametrize("names", [False, True], ids=["by structure", "by name"])
def test_a_large_layer_takes_as_many_lines_as_it_has_fields(written: Callable[[int], str], names: bool) -> None:
    def run(a: str, b: str) -> None:
        compare(parse(a), parse(b), ignore_names=not names).render()

    small, large = (lines_run(lambda n=n: run(written(n), written(n + 1)), ROOM) for n in (100, 200))
    assert large <= LINES * small


def test_what_an_input_layer_repeats_for_each_top_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_WORDS", 500)
    tops = " ".join(f'top: "t{at}"' for at in range(30))
    for novel, refused in (("[1, 2, 3]", False), (str(list(range(40))), True), (f'"{"x" * 2000}"', True)):
        written = layers(f'type: "Input" {tops} novel: {novel}', 'name: "x" type: "X" bottom: "t0"')
        if refused:
            assert isinstance(failure(written), LimitError)
        else:
            assert len(parse(written).records) == 32


def failure(written: str) -> Failure:
    with pytest.raises(Failure) as caught:
        parse(written)
    return caught.value


def test_a_shape_has_as_many_axes_as_caffe_allows() -> None:
    def written(axes: int) -> str:
        shape = f"input_param {{ shape {{ dim: {[1] * axes} }} }}"
        return layers(f'type: "Input" top: "t" {shape}', 'name: "x" type: "X" bottom: "t"')

    assert parse(written(32)).records[1].attributes["shape"] == (1,) * 32
    assert isinstance(failure(written(33)), ModelError)
    assert "a shape of 33 axes; Caffe's blobs have at most 32" in str(failure(written(33)))


def test_a_name_of_ten_megabytes_is_shortened() -> None:
    """In the text; and in JSON where every layer that reads it would repeat it."""
    name = "n" * 10_000_000
    long = [DATA, conv(name, 0), *(conv(f"c{at}", 1) for at in range(50))]
    other = [*long[:2], *(replace(record, inputs=((0, 0),)) for record in long[2:])]
    shown = compare(net(long), net(other)).render()
    assert len(shown) < 51 * 2100
    assert "nnn... -> data" not in shown
    assert f"bottom[0]: {name[:2000]}..." in shown
    assert len(json.dumps(compare(net(long), net(other)).to_json())) < 1_000_000
    for record in (
        Record(name, "X"),
        Record("x", name),
        Record("x", "X", {"novel": name}),
        Record("x", "X", {name: 1}),
    ):
        for ignore_names in (False, True):
            assert len(compare(net([DATA, record]), net([DATA, Record("x", "Y")]), ignore_names).render()) < 20_000


def test_no_text_of_a_file_drives_the_terminal() -> None:
    evil = "\x1b[2J\u202e\x00\r"
    record = Record(evil, evil, {evil: evil}, ((0, 0),), shared=(evil,))
    a = Net(evil, evil, (DATA, record), {evil: evil})
    b = Net("b", "b", (DATA, Record(evil, "X", {}, (), shared=("w",)), conv(evil, 0)))
    for ignore_names in (False, True):
        for difference in (compare(a, b, ignore_names), compare(b, a, ignore_names)):
            assert all(line.isprintable() for line in difference.render().split("\n"))


# Texts


def test_a_diff_of_texts_is_limited() -> None:
    """Lines that come up often, in random order: difflib takes hours for a hundred thousand of them."""
    rng = random.Random(7)
    counts = []
    for n in (1000, 2000):
        a, b = ("".join(f"line {rng.randrange(100)}\n" for _ in range(n)) for _ in range(2))
        work = Work()
        assert unified_diff(a, b, "a", "b", work)
        counts.append(work.steps)
    assert counts[1] <= align.MAX_STEPS + (align.STEPS_PER_RECORD + 4) * 4000


def test_a_diff_of_texts_is_that_of_difflib() -> None:
    """Where a change is unambiguous."""
    import difflib

    rng = random.Random(8)
    assert unified_diff("", "", "a", "b") == unified_diff("x\ny", "x\ny", "a", "b") == ""
    for _ in range(200):
        old = [f"{at}\n" for at in range(rng.randrange(40))]
        new = [line for line in old if rng.random() < 0.9]
        for _ in range(rng.randrange(3)):
            new.insert(rng.randrange(len(new) + 1), f"new {rng.random()}\n")
        expected = list(difflib.unified_diff(old, new, "a", "b"))
        found = unified_diff("".join(old), "".join(new), "a", "b").splitlines(keepends=True)
        assert [line for line in found if line[0] == "@"] == [line for line in expected if line[0] == "@"]
        assert sorted(found) == sorted(expected)


def test_a_last_line_without_its_end_is_told_apart() -> None:
    assert unified_diff("a\nb", "a\nb\n", "x", "y") == (
        "--- x\n+++ y\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"
    )
