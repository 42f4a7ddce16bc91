"""What is verified: the files of one network, and the network that they should be."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from resnetgen.errors import Code, Exit, fail
from resnetgen.frozen import Frozen
from resnetgen.ir.graph import Graph
from resnetgen.preprocess import Preprocess
from resnetgen.targets.caffe.dialect import Dialect
from resnetgen.targets.caffe.emit import CaffePlan, plan
from resnetgen.weights.names import NameMap
from resnetgen.weights.source import Weights


class Network(Frozen):
    """A spec's graph, the weights that its files should hold, its Caffe layers' names, what is done to an image."""

    graph: Graph
    weights: Weights
    names: NameMap | None
    preprocess: Preprocess | None = None

    def caffe(self, batch: int, dialect: Dialect) -> CaffePlan:
        """Its Caffe files in a dialect. Raises Failure where the dialect cannot say it."""
        return plan(self.graph, self.names, batch, with_weights=False, dialect=dialect)

    @cached_property
    def places(self) -> dict[str, str]:
        """Node -> its line in the spec."""
        return {node.name: node.span.short for node in self.graph.nodes if node.span}


class Subject(Frozen):
    name: str
    """As the user called it."""
    stem: Path
    """Its files are stem.onnx, stem.prototxt and stem.caffemodel."""
    network: Network | None
    """None: where the files come from cannot be told."""
    build: str = ""
    """The command that builds them, but for --target; empty where they are somebody else's."""
    stale: tuple[str, ...] = ()
    """The suffixes of files that were built from another state of the spec."""
    model: Path | None = None
    """The ONNX model, where it is not stem.onnx."""

    def file(self, suffix: str) -> Path:
        """One of its files. Raises Failure where it is not there (exit 5), or was built from another spec (exit 7)."""
        path = self.stem.with_name(f"{self.stem.name}.{suffix}")
        path = self.model if suffix == "onnx" and self.model else path
        build = f"{self.build} --target {'onnx' if suffix == 'onnx' else 'caffe'}"
        if suffix in self.stale:
            message, hint = f"{path} was built from another state of the spec", f"build it anew: {build}"
            raise fail(Exit.VERIFICATION, Code.VERIFICATION, message, hint=hint)
        if path.is_file():
            return path
        if not self.build:
            raise fail(Exit.IO, Code.MISSING_FILE, f"cannot read {path}: No such file or directory")
        raise fail(Exit.IO, Code.MISSING_FILE, f"{path} has not been built", hint=build)
