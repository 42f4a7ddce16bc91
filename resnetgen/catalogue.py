"""Catalogue of the bundled specs, with their figures and the targets that can express each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from resnetgen.compiler import compile_spec
from resnetgen.errors import Exit, Failure
from resnetgen.frozen import Frozen
from resnetgen.options import Target
from resnetgen.spec.find import bundled
from resnetgen.targets.caffe.dialect import Dialect


class Entry(Frozen):
    name: str
    input: str
    """Channels x height x width."""
    parameters: int
    macs: int
    targets: tuple[str, ...]
    dialects: tuple[str, ...]
    """Dialects of Caffe, of those tried, that can express it."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "input": self.input,
            "parameters": self.parameters,
            "macs": self.macs,
            "targets": list(self.targets),
        }


def catalogue(names: Iterable[str], dialects: Sequence[Dialect] = (Dialect.BVLC,)) -> Iterator[Entry]:
    """Yield the entries of these bundled specs, compiled one after another and tried in these dialects of Caffe."""
    for name in names:
        yield _entry(name, dialects)


def matching(pattern: str) -> list[str]:
    """Return the names of bundled specs that contain `pattern`, or match it if it has wildcards."""
    wild = any(character in pattern for character in "*?[")
    return [name for name in bundled() if (fnmatchcase(name, pattern) if wild else pattern in name)]


def markdown(entries: Iterable[Entry]) -> str:
    """Return the entries as the table of docs/zoo.md."""
    head = "| spec | input | parameters | GMACs | targets | Caffe dialects |\n|---|---|---:|---:|---|---|\n"
    return head + "".join(
        f"| `{e.name}` | {e.input} | {e.parameters:,} | {e.macs / 1e9:.3f} "
        f"| {', '.join(e.targets)} | {', '.join(e.dialects)} |\n"
        for e in entries
    )


def _entry(name: str, dialects: Sequence[Dialect]) -> Entry:
    from resnetgen.targets.caffe.translate import translate
    from resnetgen.targets.onnx.emit import OnnxOptions, plan

    compiled = compile_spec(name)
    graph = compiled.graph
    said = tuple(d.value for d in dialects if _can(translate, graph, compiled.names, 1, d))
    targets = [Target.ONNX] * _can(plan, graph, OnnxOptions()) + [Target.CAFFE] * bool(said)
    return Entry(name, str(compiled.spec.input), graph.parameter_count, graph.mac_count, tuple(targets), said)


def _can(say: Callable[..., object], *arguments: object) -> bool:
    """Return True if a target can express the network, False if it refuses it."""
    try:
        say(*arguments)
    except Failure as failure:
        if failure.exit not in (Exit.SPEC, Exit.LIMIT):
            raise
        return False
    return True
