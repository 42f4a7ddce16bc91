"""Bundled specs, with their figures and the formats that can express each of them.

`matching("timm/*")` lists their names, and `entries()` their figures. `resnetgen.load` takes the names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict

from resnetgen.arguments import require_list, require_text
from resnetgen.errors import LimitError, SpecError
from resnetgen.formats import registry
from resnetgen.formats.registry import Format
from resnetgen.paths import LIBRARY
from resnetgen.spec.find import bundled

if TYPE_CHECKING:  # imported for type annotations only
    from resnetgen.network import Network

__all__ = ["ZooEntry", "entries", "matching"]

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


def entries(names: Sequence[str] | None = None) -> list[ZooEntry]:
    """Return the entries of these bundled specs, or of all. Raises UsageError and SpecError."""
    # A bundled spec that is not in the index is measured.
    known = {each["name"]: ZooEntry(**each) for each in json.loads(INDEX.read_bytes())}
    chosen = bundled() if names is None else require_list(names, "names")
    return [known.get(name) or _measured(name) for name in chosen]


def _measured(name: str) -> ZooEntry:
    from resnetgen.network import compile_spec  # takes longer to import than the whole list takes

    return measure(compile_spec(name))


def index(entries: Iterable[ZooEntry]) -> str:
    """Return the text of the index, one line for each entry."""
    lines = ",\n".join(json.dumps(asdict(entry)) for entry in entries)
    return f"[\n{lines}\n]\n"


def matching(pattern: str = "") -> list[str]:
    """Return the names of the bundled specs that contain `pattern`, or match it if it has wildcards: "timm/*"."""
    require_text(pattern, "pattern")
    wild = any(character in pattern for character in "*?[")
    return [name for name in bundled() if (fnmatchcase(name, pattern) if wild else pattern in name)]


def __dir__() -> list[str]:
    return __all__


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
