"""The bundled specs with their figures, and the targets that can say each of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

from resnetgen.compiler import compile_spec
from resnetgen.errors import Exit, Failure
from resnetgen.job import Job, Options, Quiet, Target
from resnetgen.spec.find import bundled


@dataclass(frozen=True)
class Entry:
    name: str
    input: str
    """Channels x height x width."""
    parameters: int
    macs: int
    targets: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "targets": list(self.targets)}


def catalogue(pattern: str = "") -> list[Entry]:
    """The bundled specs that `pattern` means, compiled."""
    return [_entry(name) for name in matching(pattern)]


def matching(pattern: str) -> list[str]:
    """The names of bundled specs that hold `pattern`, or match it where it has wildcards."""
    wild = any(character in pattern for character in "*?[")
    return [name for name in bundled() if (fnmatchcase(name, pattern) if wild else pattern in name)]


def markdown(entries: list[Entry]) -> str:
    """The entries as the table of docs/zoo.md."""
    head = "| spec | input | parameters | GMACs | targets |\n|---|---|---:|---:|---|\n"
    return head + "".join(
        f"| `{e.name}` | {e.input} | {e.parameters:,} | {e.macs / 1e9:.3f} | {', '.join(e.targets)} |\n"
        for e in entries
    )


def _entry(name: str) -> Entry:
    compiled = compile_spec(name)
    graph = compiled.graph
    targets = []
    for target in (Target.ONNX, Target.CAFFE):
        try:
            Job(compiled, Options(targets=(target,), weights=target is Target.ONNX), Quiet()).plan()
        except Failure as failure:
            if failure.exit not in (Exit.SPEC, Exit.LIMIT):
                raise
        else:
            targets.append(target.value)
    return Entry(name, str(compiled.spec.input), graph.parameter_count, graph.mac_count, tuple(targets))
