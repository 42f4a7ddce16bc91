"""Catalogue of the bundled specs, with their figures and the targets that can express each of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from resnetgen.errors import LimitError, SpecError
from resnetgen.formats import registry
from resnetgen.formats.registry import Format
from resnetgen.paths import LIBRARY
from resnetgen.spec.find import bundled

if TYPE_CHECKING:  # imported for type annotations only
    from resnetgen.network import Network

INDEX = LIBRARY / "zoo.json"
"""Entries of all bundled specs: compiling them takes 20 seconds. A test holds it against them."""


class ZooEntry(Struct, frozen=True):
    name: str
    input: str
    """Channels x height x width."""
    parameters: int
    macs: int
    targets: list[str]
    dialects: list[str]
    """Dialects of these formats that can express it."""

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "input": self.input,
            "parameters": self.parameters,
            "macs": self.macs,
            "targets": self.targets,
        }


def entries(names: Iterable[str]) -> Iterator[ZooEntry]:
    """Yield the entries of these bundled specs from the index; one that is not in it is measured."""
    known = {each["name"]: each for each in json.loads(INDEX.read_bytes())}
    for name in names:
        if name in known:
            yield ZooEntry(**known[name])
        else:
            from resnetgen.network import compile_spec  # takes longer to import than the whole list takes

            yield measure(compile_spec(name))


def index(entries: Iterable[ZooEntry]) -> str:
    """Return the text of the index, one line for each entry."""
    lines = ",\n".join(json.dumps(asdict(entry)) for entry in entries)
    return f"[\n{lines}\n]\n"


def matching(pattern: str) -> list[str]:
    """Return the names of bundled specs that contain `pattern`, or match it if it has wildcards."""
    wild = any(character in pattern for character in "*?[")
    return [name for name in bundled() if (fnmatchcase(name, pattern) if wild else pattern in name)]


def markdown(entries: Iterable[ZooEntry]) -> str:
    """Return the entries as the table of docs/zoo.md."""
    titles = [one.title for one in map(registry.find, registry.names()) if one.dialects]
    head = (
        f"| spec | input | parameters | GMACs | targets | {', '.join(titles)} dialects |\n|---|---|---:|---:|---|---|\n"
    )
    return head + "".join(
        f"| `{e.name}` | {e.input} | {e.parameters:,} | {e.macs / 1e9:.3f} "
        f"| {', '.join(e.targets)} | {', '.join(e.dialects)} |\n"
        for e in entries
    )


def measure(network: Network) -> ZooEntry:
    """Return the entry of a bundled spec, which is tried in every format and every dialect."""
    targets: list[str] = []
    dialects: list[str] = []
    for format in filter(lambda one: one.is_model, map(registry.find, registry.names())):
        known = [dialect for dialect in format.dialects or ("",) if _can_express(format, network, dialect)]
        targets += [format.name] * bool(known)
        dialects += filter(None, known)
    spec, graph = network.spec, network.graph
    return ZooEntry(spec.name, str(spec.input), graph.parameter_count, graph.mac_count, targets, dialects)


def _can_express(format: Format, network: Network, dialect: str) -> bool:
    """Return True if a format can express the network, False if it refuses it."""
    try:
        format.check(network.graph, network.names, dialect)
    except (SpecError, LimitError):
        return False
    return True
