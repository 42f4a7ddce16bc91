"""Comparison of whole nets: the authors' own, with changes that must be found, and random ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from resnetgen.comparison import Net, compare, load, parse
from support.diff_nets import changed_at
from support.places import GENERATED
from support.prototxts import HEAD, layer

# The authors' own files, byte for byte: tests/weights/test_names.py has their SHA-256.
RESNET50 = GENERATED / "resnet50/resnet50.prototxt"
RESNET101 = GENERATED / "resnet101/resnet101.prototxt"

# The authors' nets


@pytest.mark.parametrize(("path", "layers"), [(RESNET50, 228), (RESNET101, 449)])
@pytest.mark.parametrize("ignore_names", [False, True])
def test_the_authors_nets_are_themselves(path: Path, layers: int, ignore_names: bool) -> None:
    assert compare(load(path), load(path), ignore_names).render() == f"equal: {layers} layers, 0 differences"


def test_the_authors_nets_against_each_other() -> None:
    a, b = load(RESNET50), load(RESNET101)
    by_name = compare(a, b).render().splitlines()
    assert by_name[:4] == [
        "net",
        f'  name: "ResNet-50" ({RESNET50}:1) -> "ResNet-101" ({RESNET101}:1)',
        "layer conv1 (Convolution)",
        f"  convolution_param.bias_term: true ({RESNET50}:8, default) -> false ({RESNET101}:18)",
    ]
    counts = "1 of the net's fields, 5 layers differ, 104 only in A, 325 only in B, 119 equal"
    assert by_name[-2:] == [counts, "hint: many names differ; --ignore-names matches layers by structure"]
    # By structure 101 is 50 with 17 blocks of 13 layers more; the block after them reads another.
    by_structure = compare(a, b, ignore_names=True)
    assert [layer.a.name for layer in by_structure.layers] == ["conv1", "res4b_branch2a", "res4b"]
    assert by_structure.render().splitlines()[-1] == "3 layers differ, 0 only in A, 221 only in B, 225 equal"


@pytest.mark.parametrize("shuffled", [False, True], ids=["other names", "the same names on other layers"])
@pytest.mark.parametrize("seed", range(3))
def test_one_stride_among_other_names_in_another_order(seed: int, shuffled: bool) -> None:
    rng = random.Random(seed)
    net = load(RESNET50)
    assert compare(net, disguised(net, rng, shuffled), ignore_names=True).equal
    convolutions = [at for at, record in enumerate(net.records) if record.type == "Convolution"]
    for at in rng.sample(convolutions, 8):
        changed = changed_at(net, at, "convolution_param.stride", 3)
        difference = compare(net, disguised(changed, rng, shuffled), ignore_names=True)
        assert [layer.a.name for layer in difference.layers] == [net.records[at].name]
        assert [field.path for field in difference.layers[0].fields] == ["convolution_param.stride"]
        assert difference.render().splitlines()[-1] == "1 layer differs, 0 only in A, 0 only in B, 227 equal"


def test_a_removed_layer_among_other_names() -> None:
    net = load(RESNET50)
    for name in ("res3b_relu", "scale4a_branch1", "conv1_relu"):
        at = next(at for at, record in enumerate(net.records) if record.name == name)
        difference = compare(net, disguised(without(net, at), random.Random(4)), ignore_names=True)
        assert [only.record.name for only in difference.only_a] == [name]
        assert not difference.only_b
        # What read it now reads what it read.
        assert {field.path.partition("[")[0] for layer in difference.layers for field in layer.fields} == {"bottom"}


def without(net: Net, gone: int) -> Net:
    """The net without a record of one input, whose readers then read that."""
    (source,) = net.records[gone].inputs
    records = []
    for at, record in enumerate(net.records):
        inputs = (source if producer == gone else (producer, index) for producer, index in record.inputs)
        moved = tuple((producer - (producer > gone), index) for producer, index in inputs)
        if at != gone:
            records.append(replace(record, inputs=moved))
    return replace(net, records=tuple(records))


def disguised(net: Net, rng: random.Random, shuffled: bool = False) -> Net:
    """The same net under other names, or its names dealt anew, in another order, sums with other orders of bottoms."""
    names = [record.name for record in net.records] if shuffled else [f"n{at}" for at in range(len(net.records))]
    rng.shuffle(names)
    order = random_order([[producer for producer, _ in record.inputs] for record in net.records], rng)
    place = {at: new for new, at in enumerate(order)}
    records = []
    for at in order:
        record = net.records[at]
        inputs = [(place[producer], index) for producer, index in record.inputs]
        if record.commutative:
            rng.shuffle(inputs)
        records.append(replace(record, name=names[at], inputs=tuple(inputs)))
    return replace(net, source="b.prototxt", name="disguised", records=tuple(records))


def random_order(inputs: list[list[int]], rng: random.Random) -> list[int]:
    """A random order in which everything comes after its inputs."""
    waiting = [len(set(above)) for above in inputs]
    ready = [at for at, count in enumerate(waiting) if not count]
    order = []
    while ready:
        order.append(ready.pop(rng.randrange(len(ready))))
        for at, above in enumerate(inputs):
            if order[-1] in above:
                waiting[at] -= 1
                if not waiting[at]:
                    ready.append(at)
    return order


# Random nets, written in random ways


class Plan:
    """A random net: for each layer its type, its settings as (path, value), and which layers it reads; -1 the input."""

    def __init__(self, rng: random.Random) -> None:
        self.layers: list[tuple[str, dict[str, int], list[int]]] = []
        for at in range(rng.randrange(3, 25)):
            kind = rng.choice(["Convolution", "Pooling", "ReLU", "Eltwise", "Concat", "Custom"])
            count = rng.randrange(2, 4) if kind in ("Eltwise", "Concat") else 1
            reads = [rng.randrange(max(-1, at - 4), at) for _ in range(count)]
            self.layers.append((kind, self.settings(kind, rng), reads))

    @staticmethod
    def settings(kind: str, rng: random.Random) -> dict[str, int]:
        if kind == "Convolution":
            return {"num_output": rng.randrange(1, 4), "kernel_size": rng.choice([1, 3]), "stride": rng.choice([1, 2])}
        if kind == "Pooling":
            return {"kernel_size": 2, "stride": rng.choice([1, 2]), "pad": rng.choice([0, 1])}
        if kind == "Eltwise":
            return {"operation": rng.randrange(3)}
        return {"slope": rng.choice([0, 1])} if kind == "Custom" else {}

    def changed(self, rng: random.Random) -> Plan:
        """This net with one setting of one layer changed, where any has one."""
        plan = Plan.__new__(Plan)
        plan.layers = list(self.layers)
        at = rng.choice([at for at, (_, settings, _) in enumerate(self.layers) if settings])
        kind, settings, reads = plan.layers[at]
        path = rng.choice(list(settings))
        value = (settings[path] + 1) % 3 if path == "operation" else settings[path] + 4
        plan.layers[at] = (kind, {**settings, path: value}, reads)
        return plan

    def written(self, rng: random.Random, renamed: bool) -> Net:
        """A prototxt of this net: layers and fields in random order, in place or not, settings in any form."""
        order = random_order([[above for above in reads if above >= 0] for *_, reads in self.layers], rng)
        name = {at: f"{rng.randrange(10**9)}" if renamed else f"layer{at}" for at in order}
        blob = {-1: "input"}
        lines = [HEAD.replace('"data"', '"input"')]
        for done, at in enumerate(order):
            kind, settings, reads = self.layers[at]
            bottoms = [f'bottom: "{blob[above]}"' for above in reads]
            if kind == "Eltwise":
                rng.shuffle(bottoms)
            read_later = {above for later in order[done + 1 :] for above in self.layers[later][2]}
            in_place = len(reads) == 1 and reads[0] not in read_later and rng.random() < 0.5
            blob[at] = blob[reads[0]] if in_place else f"{name[at]}-blob"
            fields = [" ".join(bottoms), f'top: "{blob[at]}"', f'name: "{name[at]}"', f'type: "{kind}"']
            fields.append(self.params(kind, settings, rng))
            rng.shuffle(fields)
            lines.append(f"layer {{ {' '.join(fields)} }}\n")
        return parse("".join(lines))

    @staticmethod
    def params(kind: str, settings: dict[str, int], rng: random.Random) -> str:
        said = []
        for path, value in settings.items():
            ways = [f"{path}: {value}"]
            if path in ("kernel_size", "stride", "pad"):
                stem = path.removesuffix("_size")
                ways.append(f"{stem}_h: {value} {stem}_w: {value}")
                if kind == "Convolution":
                    ways.append(f"{path}: [{value}, {value}]")
            if (path, value) in (("stride", 1), ("pad", 0), ("operation", 1)):
                ways.append("")
            said.append(rng.choice(ways))
        rng.shuffle(said)
        return f"{kind.lower()}_param {{ {' '.join(said)} }}" if settings else ""


@pytest.mark.parametrize("seed", range(60))
def test_random_nets(seed: int) -> None:
    rng = random.Random(seed)
    plan = Plan(rng)
    net = plan.written(rng, renamed=False)
    assert compare(net, plan.written(rng, renamed=False)).equal
    assert compare(net, plan.written(rng, renamed=False), ignore_names=True).equal
    assert compare(net, plan.written(rng, renamed=True), ignore_names=True).equal
    if any(settings for _, settings, _ in plan.layers):
        changed = plan.changed(rng)
        assert len(compare(net, changed.written(rng, renamed=False)).layers) == 1
        assert not compare(net, changed.written(rng, renamed=True), ignore_names=True).equal


# Symmetry


def test_choices_among_equals_are_carried_along() -> None:
    """Two towers that are the same: which convolution is which follows from what joins them."""
    towers = "".join(
        layer("Convolution", "", "data", f"a{i}") + layer("TanH", "", "data", f"b{i}") for i in range(6)
    ) + "".join(layer("Concat", "", f"a{i} b{i}", f"c{i}") for i in range(6))
    net = parse(HEAD + towers + layer("Eltwise", "", " ".join(f"c{i}" for i in range(6)), "sum"))
    for seed in range(20):
        assert compare(net, disguised(net, random.Random(seed)), ignore_names=True).equal
    crossed = towers.replace('bottom: "a0" bottom: "b0"', 'bottom: "a1" bottom: "b0"')
    other = parse(HEAD + crossed + layer("Eltwise", "", " ".join(f"c{i}" for i in range(6)), "sum"))
    assert not compare(net, disguised(other, random.Random(1)), ignore_names=True).equal
