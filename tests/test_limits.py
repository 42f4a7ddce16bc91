"""Files that are built to be slow or large: each is refused before the work is done, by a limit that is stated.

Work is counted here (tokens, values, files); seconds are for benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from resnetgen.cli.exits import Exit, exit_code
from resnetgen.comparison import load
from resnetgen.errors import Failure, Source
from resnetgen.expand import expander
from resnetgen.expand.builder import Builder
from resnetgen.formats.caffe import write
from resnetgen.formats.caffe.model import text
from resnetgen.ir.ops import Input
from resnetgen.ir.path import NodePath
from resnetgen.labels import MAX_LABELS, read_labels
from resnetgen.manifest import read
from resnetgen.network import compile_spec
from resnetgen.spec import rows, sources, yaml
from support.helpers import bundled

LAYER = 'layer {{ name: "a" type: "ReLU" {} }}\n'


def refusal(work: Callable[[], Any]) -> str:
    """The message of what is refused for its size."""
    with pytest.raises(Failure) as caught:
        work()
    assert exit_code(caught.value) is Exit.LIMIT
    return str(caught.value)


WORDS = {
    "strings": "name: " + '"a"' * 600_000,
    "fields": "a:1 " * 600_000,
    "bottoms": LAYER.format("bottom:'a'" * 300_000),
    "comments": "#\n" * 800_000 + "# and words in them, " * 160_000,
    "escapes": 'name: "' + "\\n" * 1_000_000 + '"',
    "braces": "{" * 2_000_000,
    "values": f"a: [{'1,' * 800_000}1]",
    "dims": "input_dim: 1 " * 600_000,
    "rules": LAYER.format("include{phase:TRAIN}" * 300_000),
    "lines": "\n" * 1_000_001,
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_prototxt_of_too_many_words_is_not_parsed(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is counted, not parsed: no token is made. From a file, and from a text that a program gives."""
    path = tmp_path / "net.prototxt"
    path.write_text(WORDS[kind])
    monkeypatch.setattr(text, "_parser", lambda: pytest.fail("it is parsed"))
    what = "1,000,000 lines" if kind == "lines" else "1,500,000 words and signs"
    message = f"net.prototxt has more than {what}, the limit for a prototxt"
    assert message in refusal(lambda: load(path))
    assert message in refusal(lambda: text.parse(Source("net.prototxt", WORDS[kind])))


def test_spaces_and_long_words_are_cheap() -> None:
    parsed = text.parse(Source("net.prototxt", " " * 1_000_000 + f"name: '{'x' * 1_000_000}' # {'x' * 1_000_000}"))
    assert [field.name for field in parsed.fields] == ["name"]


def test_the_largest_net_that_is_built_can_be_read() -> None:
    """Of the bundled nets those with group norms have the most words for each node."""
    for name in ("resnet50_gn", "resnet1202_cifar"):
        graph = bundled(name)
        nodes = len(graph.nodes)
        written = write.plan(graph, None, None, with_weights=False).text.encode()
        assert text.count_words(written) / nodes * 20_000 < text.MAX_WORDS
        assert written.count(b"\n") / nodes * 20_000 < text.MAX_LINES


class Counted(text._Nesting):
    """Counts the tokens."""

    read = 0

    def count(self, token: Any) -> None:
        Counted.read += 1
        super().count(token)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    Counted.read = 0
    monkeypatch.setattr(text, "_Nesting", Counted)
    return Counted


@pytest.mark.parametrize(
    "written", ["a:-1b:.5c:1e-3,d:[1,-2,0x3]", "a{b:'c''d'}e<f:g>", "#\na:1#b\n", 'a:"\\"/.b"', "a:- 1;b:-inf"]
)
def test_words_are_at_least_the_tokens(written: str, counted: type[Counted]) -> None:
    with suppress(Failure):  # numbers that touch a name
        text.parse(Source("net.prototxt", written))
    assert 0 < counted.read <= text.count_words(written.encode())


@pytest.mark.parametrize(
    ("written", "why", "most"),
    [
        ("a {" * 500_000, "messages are nested deeper than 100 levels", 202),
        ("a:[{" * 200_000, "messages are nested deeper than 100 levels", 404),
        ("abc {" * 90 + "a:1 " * 200_000, "the paths of the fields have more than 100,000,000 characters", 20_000),
        ("x" * 1_000_000 + "{" + "a:1 " * 300_000, "the paths of the fields have more than", 200),
    ],
    ids=["messages", "lists", "fields in messages", "fields in a long name"],
)
def test_nesting_is_refused_as_it_is_read(written: str, why: str, most: int, counted: type[Counted]) -> None:
    assert why in refusal(lambda: text.parse(Source("net.prototxt", written)))
    assert counted.read <= most


@pytest.mark.parametrize("where", ["name", "type", "top", "param", "input", "field"])
def test_a_name_that_is_told_again_and_again_is_short(where: str, tmp_path: Path) -> None:
    """Differences tell a layer's name in a line for each field."""
    path, name = tmp_path / "net.prototxt", "n" * (text.MAX_NAME + 1)
    net = {
        "param": LAYER.format(f'param {{ name: "{name}" }}'),
        "input": f'input: "{name}" {LAYER.format("")}',
        "field": LAYER.format(f"{name}: 1"),
        "name": f'layer {{ name: "{name}" type: "b" }}',
        "type": f'layer {{ name: "a" type: "{name}" }}',
    }
    path.write_text(net.get(where, LAYER.format(f'{where}: "{name}"')))
    assert "a name of more than 1,024 characters" in refusal(lambda: load(path))


SPEC = "input: 3x8x8\nstages: {a: gap}\n"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, and the rows that are parsed."""
    found: list[str] = []
    read, parse = sources.read_source, rows.parser().parse

    class Parser:
        def parse(self, written: str, start: str) -> object:
            found.append(written)
            return parse(written, start=start)

    def counted(path: Path, *rest: Any) -> Source:
        found.append(path.name)
        return read(path, *rest)

    monkeypatch.setattr(sources, "read_source", counted)
    monkeypatch.setattr(rows, "parser", Parser)
    return found


def compiled(path: Path, spec: str) -> Any:
    path.write_text(spec)
    return compile_spec(str(path))


def test_a_library_is_read_once(tmp_path: Path, parsed: list[str]) -> None:
    """However often it is used; and it may be used 255 times beside the spec's own file."""
    compiled(tmp_path / "net.yaml", f"use: [{'std,' * 255}]\n{SPEC}")
    assert parsed.count("std.yaml") == 1


def test_a_spec_draws_on_few_files(tmp_path: Path, parsed: list[str]) -> None:
    message = refusal(lambda: compiled(tmp_path / "net.yaml", f"use: [{'std,' * 256}]\n{SPEC}"))
    assert "net.yaml:1:1027: error[limit]: a spec uses more than 256 files" in message
    assert message.endswith("hint: a file that is listed twice counts twice")
    for number in range(300):
        (tmp_path / f"{number}.yaml").write_text("doc: empty\n")
    parsed.clear()
    use = ", ".join(f"{number}.yaml" for number in range(300))
    assert "more than 256 files" in refusal(lambda: compiled(tmp_path / "net.yaml", f"use: [{use}]\n{SPEC}"))
    assert len(parsed) == 256


@pytest.mark.parametrize(
    "spec",
    [f"use: [{'std,' * 6_000}]\n", "".join(f"k{i}: 1\n" for i in range(2_500)), f"a: [{'{},' * 6_000}]\n"],
    ids=["list", "keys", "mappings"],
)
def test_values_are_counted_as_they_are_read(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    span = yaml._Tree._span

    def made(tree: yaml._Tree, *events: Any) -> Any:
        counted.append(tree.depth)
        return span(tree, *events)

    monkeypatch.setattr(yaml._Tree, "_span", made)
    assert yaml.MAX_VALUES == 20_000
    monkeypatch.setattr(yaml, "MAX_VALUES", 2000)
    assert "a file has more than 2,000 values" in refusal(lambda: compiled(tmp_path / "net.yaml", spec + SPEC))
    assert len(counted) <= 2 * yaml.MAX_VALUES + 2


@pytest.mark.parametrize("where", ["rows", "blocks", "several files"])
def test_rows_are_counted_before_they_are_parsed(where: str, tmp_path: Path, parsed: list[str]) -> None:
    row = "relu | " * 500 + "relu"
    stages = "stages:\n" + "".join(f"  a{i}: {row}\n" for i in range(15))
    blocks = "blocks:\n" + "".join(f"  a{i}: {{body: {row}}}\n" for i in range(8))
    (tmp_path / "more.yaml").write_text(blocks)
    spec = {
        "rows": f"input: 3x8x8\n{stages}",
        "blocks": blocks + blocks.replace("  a", "  b").partition("\n")[2] + SPEC,
        "several files": f"use: more.yaml\n{blocks}{SPEC}",
    }
    message = refusal(lambda: compiled(tmp_path / "net.yaml", spec[where]))
    assert "net.yaml, with the files that it uses, has more than 50,000 characters of rows" in message
    assert row not in parsed


def test_the_bytes_of_all_files_are_counted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text("doc: x\n" + "#" * 150_000)
    message = refusal(lambda: compiled(tmp_path / "net.yaml", f"use: [a.yaml, b.yaml]\n{SPEC}"))
    assert "net.yaml:1:15: error[limit]" in message
    assert "net.yaml, with the files that it uses, has more than 262,144 bytes" in message


def test_a_name_is_found_at_once_however_many_there_are() -> None:
    """The second `relu` is relu2: not every number is tried anew."""
    builder, tried = Builder(Input((3, 8, 8)), 20_000), 0

    class Taken(set[tuple[NodePath, str]]):
        def __contains__(self, path: object) -> bool:
            nonlocal tried
            tried += 1
            return super().__contains__(path)

    builder._taken = Taken()
    names = [str(builder.path(NodePath("a"), "relu")) for _ in range(1000)]
    assert names[:2] + names[-1:] == ["a/relu", "a/relu2", "a/relu1000"]
    assert tried < 3000


NUMBERS = "".join(f"    n{i}: {i}\n" for i in range(500))
SUM = ("+(0" + "*1" * 40 + ")") * 9
CASES = "".join("    - {if: 0, then: relu}\n" for _ in range(500))


@pytest.mark.parametrize(
    "block",
    [
        f"body: relu\n   let:\n{NUMBERS}",
        f"body: relu\n   params:\n{NUMBERS}",
        f"choose:\n{CASES}    - {{then: relu}}\n",
        f"body: '1x1, 3{SUM}'\n",
    ],
    ids=["names", "parameters", "cases", "an expression"],
)
def test_what_calls_evaluate_is_counted(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block of few nodes may hold much that each call computes. The limit is 200 characters for each node allowed."""
    done, evaluate = 0, expander.evaluate

    def counted(*given: Any) -> int | float:
        nonlocal done
        done += 1
        return evaluate(*given)

    monkeypatch.setattr(expander, "evaluate", counted)
    spec = f"use: std\ninput: 3x8x8\nblocks:\n  b:\n   {block}stages: {{a: b() x 1900}}\n"
    (path := tmp_path / "net.yaml").write_text(spec)
    message = refusal(lambda: compile_spec(str(path), max_nodes=2000))
    assert "evaluates more than 400,000 characters of rows and blocks that it repeats and calls" in message
    assert done < 200_000


def test_labels_are_counted_before_they_are_divided(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\n" * (MAX_LABELS + 1))
    assert "labels.txt has more than 1,000,000 lines, the limit for labels" in refusal(
        lambda: read_labels(path, 10, "")
    )


@pytest.mark.parametrize("text", ["[" * 500_000, '{"files":' * 100_000, "1" * 1_000_000, "\ud800", "[1e999999]"])
def test_a_manifest_that_no_build_wrote_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert read(tmp_path) == {}
