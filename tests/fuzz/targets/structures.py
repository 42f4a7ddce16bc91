"""Weight files that describe a network, which is compared with that of a spec."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz import built
from fuzz.mutate import wire
from fuzz.mutate.octets import mostly
from fuzz.target import Target
from resnetgen.cli.exits import Exit
from resnetgen.network import Network, compile_spec
from resnetgen.pretrained.pretrained import CheckpointSource, load_pretrained
from resnetgen.weights.initialise import Initialised

_MAX_WARNING = 2000
"""Characters."""


@cache
def _residual() -> Network:
    with TemporaryDirectory() as folder:
        spec = Path(folder) / "residual.yaml"
        spec.write_text(built.NETS["residual"])
        return compile_spec(str(spec))


def compare(data: bytes, folder: Path) -> None:
    path = folder / "weights"
    path.write_bytes(data)
    network = _residual()
    drawn = Initialised(network.graph)
    found = load_pretrained(CheckpointSource(path, reinit=("head",)), network.spec, network.graph, drawn)
    assert all(line.isprintable() and len(line) < _MAX_WARNING for line in found.warnings)


def onnx_seeds() -> list[bytes]:
    return built.files("unfolded/residual/residual.onnx")


def caffemodel_seeds() -> list[bytes]:
    return built.files("residual.caffemodel")


STRUCTURES = (
    Target("structure-onnx", compare, onnx_seeds, mostly(wire.mutate), frozenset({Exit.MODEL})),
    Target("structure-caffemodel", compare, caffemodel_seeds, mostly(wire.mutate), frozenset({Exit.MODEL})),
)
