"""Limits of the spec language at their edges, and what is said where nothing was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.errors import Code, Failure, Problem, Source
from resnetgen.expand import expand
from resnetgen.expand.builder import MAX_ELEMENTS, Builder
from resnetgen.ir.ops import Input, Relu
from resnetgen.ir.path import NodePath
from resnetgen.spec import json_schema
from resnetgen.spec.load import load_file
from resnetgen.spec.yaml import parse_value
from support.helpers import TINY
from support.places import DATA

HEAD = "use: std\ninput: 4x8x8\n"


def write(folder: Path, text: str, name: str = "net") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path, max_nodes: int = 20_000, **settings: int | float) -> tuple[Exit, Problem]:
    with pytest.raises(Failure) as caught:
        expand(load_file(path, settings, shown="net.yaml"), max_nodes)
    (problem,) = caught.value.problems
    return exit_code(caught.value), problem


def test_as_many_nodes_as_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, TINY)
    count = len(expand(load_file(path)).nodes)
    assert len(expand(load_file(path), count).nodes) == count
    exit, problem = refused(path, count - 1)
    assert (exit, problem.code) == (Exit.LIMIT, Code.LIMIT)
    assert problem.message == f"the network has more than {count - 1:,} nodes"
    assert problem.hint == "--max-nodes raises the limit"


def test_as_many_repetitions_as_allowed(tmp_path: Path) -> None:
    """The image, one node and three repetitions are five."""
    row = HEAD + "stages: {s: relu | (identity) xCOUNT}\n"
    assert len(expand(load_file(write(tmp_path, row.replace("COUNT", "3"))), 5).nodes) == 2
    exit, problem = refused(write(tmp_path, row.replace("COUNT", "4")), 5)
    assert (exit, problem.message) == (Exit.LIMIT, "the network has more than 5 nodes")


def test_as_many_calls_as_allowed(tmp_path: Path) -> None:
    """Of blocks that add no nodes: three for each node, where each repetition and each call counts as one."""
    text = HEAD + "blocks: {e: {body: identity}}\nstages: {s: relu | CELLS}\n"
    most = " | ".join(["e() x4"] * 3 + ["e() x3"])
    assert len(expand(load_file(write(tmp_path, text.replace("CELLS", most))), 10).nodes) == 2
    exit, problem = refused(write(tmp_path, text.replace("CELLS", f"{most} | (identity)")), 10)
    assert (exit, problem.code) == (Exit.LIMIT, Code.LIMIT)
    assert problem.message == "this spec repeats and calls blocks more than 30 times"
    assert (str(problem.span), problem.hint) == ("net.yaml:4", "--max-nodes raises the limit")


def test_as_many_elements_as_allowed() -> None:
    Builder(Input((2**13, 2**10, 2**10)), 10)
    with pytest.raises(Failure) as caught:
        Builder(Input((2**13, 2**10, 2**10 + 1)), 10)
    assert exit_code(caught.value) is Exit.LIMIT
    (problem,) = caught.value.problems
    assert problem.message.startswith("data would hold a tensor of 8,598,323,200 elements (output 8192x1024x1025)")
    assert problem.hint == f"the most is {MAX_ELEMENTS:,}"


def test_a_weight_counts_as_a_tensor(tmp_path: Path) -> None:
    exit, problem = refused(write(tmp_path, HEAD + "stages: {s: '(1x1, 100000) | 1x1, 100000'}\n"))
    assert exit is Exit.LIMIT
    assert problem.message == "s/conv1 would hold a tensor of 10,000,000,000 elements (output 100000x8x8)"


def test_units_and_paths_are_numbered_from_one() -> None:
    builder = Builder(Input((4, 8, 8)), 10)
    s, t = NodePath("s"), NodePath("t")
    assert [builder.unit(s), builder.unit(s), builder.unit(t)] == [1, 2, 1]
    assert [str(builder.path(s, "add")) for _ in range(3)] == ["s/add", "s/add2", "s/add3"]
    assert builder.add(s.node("relu"), Relu(), ("data",), None) == "s/relu"


@pytest.mark.parametrize(("count", "is_allowed"), [(32, True), (33, False)])
def test_specs_that_extend_one_another(count: int, is_allowed: bool, tmp_path: Path) -> None:
    write(tmp_path, TINY, "n1")
    for number in range(2, count + 1):
        write(tmp_path, f"extends: n{number - 1}\n", f"n{number}")
    if is_allowed:
        assert len(load_file(tmp_path / f"n{count}.yaml").sources) == count + 1  # and std
        return
    exit, problem = refused(tmp_path / f"n{count}.yaml")
    assert (exit, problem.code) == (Exit.LIMIT, Code.LIMIT)
    assert problem.message == "more than 32 specs extend one another"
    assert problem.span


DEFAULTS = {
    "unit": "[conv, norm, act]",
    "norm": "batchnorm",
    "act": "relu",
    "stride_on": "first",
    "branches": "[main]",
    "shortcut": "null",
    "merge": "add",
    "after": "act",
    "last": "[conv]",
}


@pytest.mark.parametrize("left_out", DEFAULTS)
def test_a_default_that_nothing_sets(left_out: str, tmp_path: Path) -> None:
    given = [f"{key}: {value}" for key, value in DEFAULTS.items() if key != left_out]
    outer = [one for one in given if one.startswith(("unit", "norm", "act"))]
    bracket = ", ".join(one for one in given if one not in outer)
    defaults = ", ".join([*outer, f"bracket: {{{bracket}}}"])
    where = "defaults" if left_out in ("unit", "norm", "act") else "defaults.bracket"
    exit, problem = refused(write(tmp_path, f"input: 4x8x8\ndefaults: {{{defaults}}}\nstages: {{s: relu}}\n"))
    assert (exit, problem.code) == (Exit.SPEC, Code.MISSING_KEY)
    assert (problem.message, problem.hint) == (f"`{where}.{left_out}` is not set", "add `use: std`")


@pytest.mark.parametrize("name", ["n", "N", "_", "_n", "Zz9_", "aZ"])
def test_names_of_parameters(name: str, tmp_path: Path) -> None:
    spec = load_file(write(tmp_path, f"{HEAD}params: {{{name}: 3}}\nstages: {{s: 'fc ${name}'}}\n"))
    assert spec.params == {name: 3}
    assert expand(spec).shapes["s/fc"] == (3,)


@pytest.mark.parametrize("name", ["b", "B", "_b.C", "Zz9_.a"])
def test_names_of_blocks(name: str, tmp_path: Path) -> None:
    spec = load_file(write(tmp_path, f"{HEAD}blocks: {{{name}: {{body: relu}}}}\nstages: {{s: {name}()}}\n"))
    assert [node.op.keyword for node in expand(spec).nodes] == ["input", "relu"]


@pytest.mark.parametrize("name", ["s", "S", "_s", "9s", "Conv2_X.a-b", "zZ9"])
def test_names_of_rows(name: str, tmp_path: Path) -> None:
    spec = load_file(write(tmp_path, f"{HEAD}stages: {{{name}: relu}}\n"))
    assert [row.stage for row in spec.rows] == [name]
    assert expand(spec).nodes[1].name == f"{name}/relu"


def test_settings_that_no_spec_has(tmp_path: Path) -> None:
    _, problem = refused(write(tmp_path, f"{HEAD}stages: {{s: relu}}\n"), n=3)
    assert problem.message == "--set n: the spec has no such parameter"
    assert problem.hint == "this spec has no parameters"
    path = write(tmp_path, f"{HEAD}params: {{width: 3}}\nstages: {{s: relu}}\n")
    _, problem = refused(path, widht=3)
    assert problem.hint == "did you mean width?"
    _, problem = refused(path, width=float("nan"))
    assert (problem.message, problem.hint) == (
        "--set width: the value is not a number, or too large",
        "the limit is 2^53",
    )


def test_a_file_that_cannot_be_a_spec(tmp_path: Path) -> None:
    _, problem = refused(write(tmp_path, f"{HEAD}stages: {{s: relu}}\n", "n et"))
    assert (problem.code, problem.message) == (Code.BAD_NAME, "a spec cannot be called 'n et.yaml'")
    assert problem.hint == "its name becomes that of the output: use letters, digits and _ . -"


@pytest.mark.parametrize(("more", "is_allowed"), [(11, True), (12, False)])
@pytest.mark.parametrize("before", ["[]", "{}", "[[], {}]"])
def test_depth_counts_what_is_open_alone(before: str, more: int, is_allowed: bool) -> None:
    """20 mappings, in the innermost a list or mapping that ends, then as many more lists as reach 32 levels."""
    text = "{a: " * 20 + f"{{b: {before}, c: {'[' * more}{']' * more}}}" + "}" * 20
    if is_allowed:
        parse_value(Source("net.yaml", text))
        return
    with pytest.raises(Failure) as caught:
        parse_value(Source("net.yaml", text))
    (problem,) = caught.value.problems
    assert problem.message == "nested deeper than 32 levels"


@pytest.mark.parametrize("text", ["a: [1", "a: [1\n", "a: [1\n\n"])
def test_what_is_not_closed_is_shown_where_it_opens(text: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_value(Source("net.yaml", text))
    (problem,) = caught.value.problems
    assert problem.span
    assert (problem.span.line, problem.span.column) == (1, 4)


@pytest.mark.parametrize(("before", "line"), [("", 1), ("# a comment\n", 2)])
def test_a_directive_is_shown_where_it_stands(before: str, line: int) -> None:
    with pytest.raises(Failure) as caught:
        parse_value(Source("net.yaml", f"{before}%YAML 1.2\n---\na: 1\n"))
    (problem,) = caught.value.problems
    assert problem.span
    assert (problem.span.line, problem.span.column) == (line, 1)
    assert (problem.message, problem.hint) == ("a directive is not allowed in a spec", "a spec is YAML 1.2")


@pytest.mark.parametrize(("merge", "shape"), [("add", (4, 8, 8)), ("mul", (4, 8, 8)), ("concat", (8, 8, 8))])
def test_what_merges_a_bracket(merge: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    text = f"{HEAD}defaults: {{bracket: {{merge: {merge}, after: null}}}}\nstages: {{s: '[3x3, 4]'}}\n"
    graph = expand(load_file(write(tmp_path, text)))
    assert (graph.nodes[-1].op.keyword, graph.shapes[graph.nodes[-1].name]) == (merge, shape)


def test_the_schema_for_editors(update_goldens: bool) -> None:
    """Its descriptions are what an editor shows at a key."""
    golden = DATA / "spec.schema.json"
    text = json.dumps(json_schema.json_schema(), indent=1) + "\n"
    if update_goldens:
        golden.write_text(text, encoding="utf-8", newline="\n")
    assert text == golden.read_text(encoding="utf-8")
