"""The op vocabulary: an op that is missing in any one place is noticed, by a test here or by the type check."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest

from resnetgen.ir import ops
from resnetgen.ir.ops import VOCABULARY, BaseOp, Moments, Op, Shape

PACKAGE = Path(__file__).parents[2] / "resnetgen"
OPS = PACKAGE / "ir" / "ops"
CLASSES = {op.__name__: op for op in VOCABULARY.values()}
METHODS = ("moments", "compute")
"""Methods that each op must define for itself; a default would be wrong silently."""


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# The vocabulary


@cache
def defined() -> set[str]:
    """Names of the classes in ir/ops/ that have a keyword."""
    classes = (node for path in OPS.glob("*.py") for node in parse(path).body if isinstance(node, ast.ClassDef))
    return {one.name for one in classes if any(_is_keyword(line) for line in one.body)}


def _is_keyword(line: ast.stmt) -> bool:
    return isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == "keyword" and line.value is not None


def listed(tree: ast.Module) -> list[str]:
    """Names of ops in the vocabulary's file, as often as they are there."""
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return [name for name in names if name in defined()]


def test_the_vocabulary_names_each_op_once() -> None:
    assert sorted(listed(parse(OPS / "__init__.py"))) == sorted(defined()) == sorted(CLASSES)


@pytest.mark.parametrize("op", sorted(CLASSES))
def test_an_op_that_the_vocabulary_lacks(op: str) -> None:
    class Without(ast.NodeTransformer):
        def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
            self.generic_visit(node)
            left, right = (isinstance(side, ast.Name) and side.id == op for side in (node.left, node.right))
            return node.right if left else node.left if right else node

    assert {*CLASSES} - {*listed(Without().visit(deepcopy(parse(OPS / "__init__.py"))))} == {op}


# Methods


def lacking(kind: type[BaseOp]) -> list[str]:
    """Methods that an op has from the base class alone."""
    return [method for method in METHODS if getattr(kind, method) is getattr(BaseOp, method)]


@pytest.mark.parametrize("op", sorted(CLASSES))
def test_each_op_has_every_method(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = CLASSES[op]
    assert lacking(kind) == []
    for method in METHODS:
        owner = next(base for base in kind.__mro__ if method in vars(base))
        with monkeypatch.context() as patch:
            patch.delattr(owner, method)
            assert lacking(kind) == [method]


IMAGE, PIXEL = (4, 8, 7), (4, 1, 1)
SAMPLES: dict[str, tuple[Op, tuple[Shape, ...], tuple[Shape, ...]]] = {
    "Input": (ops.Input((3, 2, 2)), (), ()),
    "Conv": (ops.Conv((3, 3), 8, (2, 2), 2, bias=True), (IMAGE,), ((4,),)),
    "ChannelConv": (ops.ChannelConv(), (PIXEL,), (IMAGE,)),
    "BatchNorm": (ops.BatchNorm(), (IMAGE,), ()),
    "GroupNorm": (ops.GroupNorm(2), (IMAGE,), ((3, 2, 2),)),
    "Lrn": (ops.Lrn(), (IMAGE,), ((4,),)),
    "MaxPool": (ops.MaxPool((3, 3), (2, 2)), (IMAGE,), ((4,),)),
    "AvgPool": (ops.AvgPool((2, 2), same=True), (IMAGE,), ((4,),)),
    "GlobalAvgPool": (ops.GlobalAvgPool(), (IMAGE,), ((4,),)),
    "BlurPool": (ops.BlurPool(), (IMAGE,), (PIXEL,)),
    "ChannelPad": (ops.ChannelPad(9, (2, 2)), (IMAGE,), ((4,),)),
    "Flatten": (ops.Flatten(), (IMAGE,), ()),
    "Fc": (ops.Fc(5), (IMAGE,), ()),
    "Add": (ops.Add(), (IMAGE, IMAGE), (IMAGE, PIXEL)),
    "Mul": (ops.Mul(), (PIXEL, IMAGE), (IMAGE, (4,))),
    "Concat": (ops.Concat(), (IMAGE, IMAGE), (IMAGE, PIXEL)),
}
"""Op, inputs that fit it, and inputs that it refuses, of the ops that are more than elementwise."""


def figures(op: Op, inputs: tuple[Shape, ...], refused: tuple[Shape, ...]) -> tuple[object, ...]:
    """All that a method of the base class would give as well: shape, parameters, MACs and refusals."""
    outcomes: list[object] = []
    for method in (op.shape, op.parameters, op.macs):
        for shapes in (inputs, refused):
            try:
                outcomes.append(method(*shapes))
            except (ValueError, IndexError) as error:
                outcomes.append(type(error))
    return tuple(outcomes)


def overrides() -> Iterator[tuple[str, str]]:
    for op, kind in CLASSES.items():
        for method in ("shape", "parameters", "macs"):
            if getattr(kind, method) is not getattr(BaseOp, method):
                yield op, method


@pytest.mark.parametrize(("op", "method"), sorted(overrides()))
def test_a_figure_that_an_op_lacks(op: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its own method an op has other figures, which tests/ir/test_ops.py holds."""
    before = figures(*SAMPLES[op])
    owner = next(base for base in CLASSES[op].__mro__ if method in vars(base))
    monkeypatch.delattr(owner, method)
    assert figures(*SAMPLES[op]) != before


def test_moments_of_a_residual_block() -> None:
    """A convolution doubles the square, a ReLU halves it, and keeps that of a sum with the output of a ReLU."""
    image = CLASSES["Input"]((3, 8, 8)).moments()
    conv = CLASSES["Conv"]((3, 3), 4).moments(image)
    relu = CLASSES["Relu"]().moments(conv)
    assert (image, conv, relu) == (Moments(1), Moments(2), Moments(1, is_positive=True))
    total = CLASSES["Add"]().moments(conv, relu)
    assert total == Moments(3, is_positive=True)
    assert CLASSES["Relu"]().moments(total) == total
    assert CLASSES["BatchNorm"]().moments(total) == Moments(1.25)


# Translations


def matches(tree: ast.Module) -> Iterator[ast.Match]:
    """Matches over all ops, by their last case: `case _: assert_never(op)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Match) and "assert_never" in ast.dump(node.cases[-1]) and covered(node):
            yield node


def covered(match: ast.Match) -> set[str]:
    """Ops of which a match has a case without a condition."""
    found = set()
    for case in match.cases:
        for pattern in ast.walk(case.pattern):
            if (
                isinstance(pattern, ast.MatchClass)
                and not case.guard
                and not pattern.kwd_attrs
                and not pattern.patterns
            ):
                found.add(ast.unparse(pattern.cls).rpartition(".")[2])
    return found & CLASSES.keys()


PLACES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "assert_never" in path.read_text(encoding="utf-8") and any(matches(parse(path)))
]


def without(tree: ast.Module, op: str) -> ast.Module:
    """The same module without the cases of an op."""
    tree = deepcopy(tree)
    for match in matches(tree):
        match.cases = [case for case in match.cases if op not in covered(ast.Match(match.subject, [_bare(case)]))]
    return tree


def _bare(case: ast.match_case) -> ast.match_case:
    """A case without its condition and its attributes, so that it counts as one of its op."""
    bare = ast.match_case(deepcopy(case.pattern), None, [])
    for pattern in ast.walk(bare.pattern):
        if isinstance(pattern, ast.MatchClass):
            pattern.patterns, pattern.kwd_attrs, pattern.kwd_patterns = [], [], []
    return bare


def test_each_format_translates_by_one_match() -> None:
    assert [path.parent.name for path in PLACES] == ["caffe", "onnx"]


@pytest.mark.parametrize("path", PLACES, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("op", sorted(CLASSES))
def test_each_format_knows_each_op(path: Path, op: str) -> None:
    whole = parse(path)
    for match in matches(whole):
        assert covered(match) == {*CLASSES}
    for match in matches(without(whole, op)):
        assert covered(match) == {*CLASSES} - {op}


# The type check


def without_method(tree: ast.Module, op: str, method: str) -> ast.Module:
    """The same module, in which an op lacks a method, and someone makes the op."""
    tree = deepcopy(tree)
    (kind,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == op)
    kind.body = [line for line in kind.body if not (isinstance(line, ast.FunctionDef) and line.name == method)]
    tree.body += ast.parse(
        f"from typing import Any\ndef make(values: dict[str, Any]) -> {op}: return {op}(**values)"
    ).body
    return tree


def inherits(op: str, method: str) -> bool:
    return method not in vars(CLASSES[op])


@pytest.mark.types
def test_the_type_check_notices_each_op(tmp_path: Path) -> None:
    """mypy sees one copy for each op and each place, from which the op was removed."""
    expected: dict[str, str] = {}
    for op, kind in CLASSES.items():
        home = PACKAGE.parent.joinpath(*kind.__module__.split(".")).with_suffix(".py")
        for method in METHODS:
            if inherits(op, method):
                continue
            name = f"{op.lower()}_{method}"
            (tmp_path / f"{name}.py").write_text(ast.unparse(without_method(parse(home), op, method)))
            expected[name] = f'Cannot instantiate abstract class "{op}" with abstract attribute "{method}"'
        for path in PLACES:
            name = f"{op.lower()}_{path.parent.name}"
            (tmp_path / f"{name}.py").write_text(ast.unparse(without(parse(path), op)))
            expected[name] = f'Argument 1 to "assert_never" has incompatible type "{op}"'
    files = [str(path) for path in tmp_path.glob("*.py")]
    root = PACKAGE.parent
    options = [
        "--config-file",
        str(root / "pyproject.toml"),
        "--no-error-summary",
        "--cache-dir",
        str(tmp_path / "cache"),
    ]
    command = [sys.executable, "-m", "mypy", *options, *files]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert not done.stderr
    lines = done.stdout.splitlines()
    for name, message in expected.items():
        assert [line for line in lines if f"{name}.py:" in line and message in line], (name, lines)
    assert len([line for line in lines if ": error: " in line]) == len(expected), lines


def test_the_union_is_all_that_the_type_check_knows() -> None:
    assert {op.__name__ for op in Op.__args__} == {*CLASSES}
