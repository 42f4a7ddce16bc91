"""Mutants of a source file: the mistakes that mutmut's operators make, in all code that runs.

mutmut itself only changes the bodies of undecorated functions. Here properties, class attributes, module constants and
defaults of parameters are changed as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

# As in mutmut: their arguments are what the surrounding code says, and a changed one is a TypeError.
_UNCHANGED_CALLS = {"len", "isinstance"}


@dataclass(frozen=True)
class Mutant:
    file: str
    place: str
    """Qualified name of the innermost function or class; empty for module level."""
    operator: str
    before: str
    after: str
    number: int
    """Counts mutants that are alike in all of the above."""
    lines: tuple[int, ...]
    """Lines of the innermost statement; of a compound statement, its header."""
    is_imported: bool
    """Whether it runs when its module is imported, and no other time."""

    @property
    def key(self) -> str:
        parts = (self.file, self.place, self.operator, self.before, self.after, str(self.number))
        return sha256("\0".join(parts).encode()).hexdigest()

    def is_sampled(self, seed: int, share: float) -> bool:
        """Draw by the mutant's own text, so that a change elsewhere leaves the draw as it is."""
        digest = sha256(f"{seed}:{self.key}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < share * 2**64


class Mutants(cst.CSTVisitor):
    """All mutants of one file; `source` writes one of them out."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, root: Path, file: str) -> None:
        super().__init__()
        self.file = file
        self.found: list[Mutant] = []
        self._nodes: list[tuple[cst.CSTNode, cst.CSTNode]] = []
        self._places: list[str] = []
        self._functions = 0
        self._statements: list[tuple[int, ...]] = [()]
        self._seen: Counter[tuple[str, ...]] = Counter()
        wrapper = MetadataWrapper(cst.parse_module((root / file).read_text(encoding="utf-8")))
        self._module = wrapper.module
        wrapper.visit(self)

    def source(self, mutant: Mutant) -> str:
        before, after = self._nodes[self.found.index(mutant)]
        changed = self._module.deep_replace(before, after)
        assert isinstance(changed, cst.Module)
        return changed.code

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_left_out(node, is_module_level=not self._places):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._places.append(node.name.value)
            self._functions += isinstance(node, cst.FunctionDef)
        if isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement | cst.MatchCase):
            self._statements.append(self._lines(node))
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for mutated in operator(node):
                    self._add(node, mutated, operator.__name__.removeprefix("operator_"))
        return True

    def on_leave(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.FunctionDef | cst.ClassDef) and self._places and self._places[-1] == node.name.value:
            self._places.pop()
            self._functions -= isinstance(node, cst.FunctionDef)
        is_statement = isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement | cst.MatchCase)
        if is_statement and len(self._statements) > 1 and self._statements[-1] == self._lines(node):
            self._statements.pop()

    def _add(self, node: cst.CSTNode, mutated: cst.CSTNode, operator: str) -> None:
        if isinstance(mutated, cst.Match) and not any(_is_unreachable(case) for case in mutated.cases):
            assert isinstance(node, cst.Match)
            if any(_is_unreachable(case) for case in node.cases):
                return  # only the case that cannot happen is left out
        before, after = (self._module.code_for_node(one).strip() for one in (node, mutated))
        place = ".".join(self._places)
        number = self._seen[place, operator, before, after]
        self._seen[place, operator, before, after] += 1
        self._nodes.append((node, mutated))
        self.found.append(
            Mutant(self.file, place, operator, before, after, number, self._statements[-1], not self._functions)
        )

    def _lines(self, node: cst.CSTNode) -> tuple[int, ...]:
        position = self.get_metadata(PositionProvider, node)
        last = position.end.line
        body = getattr(node, "body", None)
        if isinstance(body, cst.IndentedBlock) and body.body:
            last = max(position.start.line, self.get_metadata(PositionProvider, body.body[0]).start.line - 1)
        if isinstance(node, cst.Match):
            last = position.start.line
        return tuple(range(position.start.line, last + 1))


def _is_left_out(node: cst.CSTNode, is_module_level: bool) -> bool:
    """Types, imports, decorators; what coverage leaves out, too; as in mutmut, arguments of len and isinstance."""
    match node:
        case cst.Annotation() | cst.Decorator() | cst.Import() | cst.ImportFrom():
            return True
        case cst.AnnAssign(annotation=cst.Annotation(annotation=cst.Name("TypeAlias"))):
            return True
        case cst.Assign(targets=[cst.AssignTarget(cst.Name("__all__"))]):
            return True
        case cst.Assign(value=cst.Subscript() | cst.BinaryOperation(operator=cst.BitOr())) if is_module_level:
            return True  # a type alias
        case cst.If(test=cst.Name("TYPE_CHECKING")):
            return True
        case cst.Call(func=cst.Name(name)) if name in _UNCHANGED_CALLS:
            return True
        case cst.ClassDef(bases=bases):
            return any(isinstance(base.value, cst.Name) and base.value.value == "Protocol" for base in bases)
        case cst.MatchCase():
            return _is_unreachable(node)
        case _:
            return False


def _is_unreachable(case: cst.MatchCase) -> bool:
    """The type checker holds that a case with assert_never cannot be reached."""
    match case.body:
        case cst.IndentedBlock(
            body=[cst.SimpleStatementLine(body=[cst.Expr(cst.Call(func=cst.Name("assert_never")))])]
        ):
            return True
    return False


def list_files(root: Path, rooms: Iterable[str]) -> Iterator[str]:
    for room in rooms:
        for path in sorted((root / "resnetgen" / room).rglob("*.py")):
            yield path.relative_to(root).as_posix()
