"""Target of a verification: the files of one network, and the network that they should be."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from msgspec import Struct

from resnetgen.errors import Code, FileError, VerificationError
from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.caffe.write import CaffePlan, plan
from resnetgen.ir.graph import Graph
from resnetgen.preprocess import Preprocess
from resnetgen.weights.names import NameMap
from resnetgen.weights.source import WeightSource


class Expected(Struct, frozen=True, dict=True):
    """A spec's graph, the weights that its files should have, the name map of its Caffe layers, and its
    preprocessing."""

    graph: Graph
    weights: WeightSource
    names: NameMap | None
    preprocess: Preprocess | None = None

    def caffe(self, batch: int, dialect: Dialect) -> CaffePlan:
        """Return the Caffe files in a dialect. Raises SpecError if the dialect cannot express the network."""
        return plan(self.graph, self.names, batch, with_weights=False, dialect=dialect)

    @cached_property
    def places(self) -> dict[str, str]:
        """Node -> its line in the spec."""
        return {node.name: node.span.short for node in self.graph.nodes if node.span}


class Target(Struct, frozen=True):
    name: str
    """Name on the command line."""
    stem: Path
    """Path without suffix of its files: stem.onnx, stem.prototxt and stem.caffemodel."""
    network: Expected | None
    """Expected of the files; None if it is unknown."""
    build: str = ""
    """Command that builds the files, without --target; empty for files of unknown origin."""
    stale: tuple[str, ...] = ()
    """Suffixes of files that were built from another state of the spec."""
    model: Path | None = None
    """ONNX model, if it is not stem.onnx; else None."""

    def file(self, suffix: str) -> Path:
        """Return one of the files. Raises Failure if it is missing (exit 5), or was built from another state of the
        spec (exit 7)."""
        path = self.stem.with_name(f"{self.stem.name}.{suffix}")
        path = self.model if suffix == "onnx" and self.model else path
        build = f"{self.build} --target {'onnx' if suffix == 'onnx' else 'caffe'}"
        if suffix in self.stale:
            message, hint = f"{path} was built from another state of the spec", f"build it anew: {build}"
            raise VerificationError.of(Code.VERIFICATION, message, hint=hint)
        if path.is_file():
            return path
        if not self.build:
            raise FileError.of(Code.MISSING_FILE, f"cannot read {path}: No such file or directory")
        raise FileError.of(Code.MISSING_FILE, f"{path} has not been built", hint=build)
