"""ONNX as a format: one model, folded and written, with its weights in the file or beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resnetgen import __version__
from resnetgen.formats.readback import require_equal
from resnetgen.formats.registry import Files, Request
from resnetgen.ir.graph import Graph
from resnetgen.passes.pipeline import PIPELINE, run_passes
from resnetgen.profiles import choose_opset
from resnetgen.progress import Progress
from resnetgen.staging.files import Create, Staging
from resnetgen.weights.draw import Drawing, keys
from resnetgen.weights.names import NameMap

if TYPE_CHECKING:  # imports onnx's messages, needed only if the format is written
    from resnetgen.formats.onnx.write import OnnxOptions, OnnxPlan


class OnnxFormat:
    name = "onnx"
    title = "ONNX"
    help = "a model with its weights"
    dialects: tuple[str, ...] = ()
    is_model = True
    needs_weights = True

    def files(self, request: Request) -> OnnxFiles:
        return OnnxFiles(request, f"{request.stem}.onnx")

    def check(self, graph: Graph, names: NameMap | None, dialect: str) -> None:
        """Raise SpecError for a network that the default opset cannot express."""
        from resnetgen.formats.onnx.write import OnnxOptions, plan

        plan(graph, OnnxOptions())


class OnnxFiles(Files):
    def __init__(self, request: Request, name: str) -> None:
        """Prepare a model. `name`: name of its file."""
        self.request, self.name = request, name
        self.replaces = frozenset({f"{name}.data"})
        self.graph, self.weights = run_passes(request.graph, request.weights, PIPELINE if request.options.fold else ())
        """Graph and weights after the passes."""
        self.planned: tuple[OnnxPlan, OnnxOptions] | None = None
        self._drawing: Drawing | None = None

    def begin(self) -> None:
        """Start drawing weights while the libraries of the format are imported, which takes as long."""
        self._drawing = Drawing(self.weights, keys(self.graph))

    def close(self) -> None:
        if self._drawing:
            self._drawing.close()

    def plan(self) -> None:
        """Translate the graph. Raises Failure for options that the opset or the server does not allow."""
        from resnetgen.formats.onnx.lower import Names
        from resnetgen.formats.onnx.write import OnnxOptions, plan

        request, options = self.request, self.request.options
        written = OnnxOptions(
            opset=choose_opset(options.opset, options.runtime),
            batch=options.batch,
            names=Names(options.input_name, options.output_name),
            metadata=request.metadata(),
            late_metadata=request.late_metadata,
            producer_version=__version__,
            embed=request.preprocess if options.embed_preprocess else None,
            runtime=options.runtime,
            late_bytes=request.late_bytes,
            external=options.external_data,
        )
        self.planned = plan(self.graph, written), written

    def write(self, stage: Staging, progress: Progress) -> None:
        self.write_to(stage.path(self.name), stage.create, progress)

    def write_to(self, path: Path, create: Create, progress: Progress) -> None:
        """Write the model to any path, and read it back. Raises InternalError if it differs from its graph."""
        from resnetgen.formats.onnx.validate import validate
        from resnetgen.formats.onnx.write import write

        assert self.planned, "plan comes first"
        planned, written = self.planned
        with progress.task(path.name, planned.payload) as advance:
            checksums = write(planned, self._drawing or self.weights, path, advance, create)
        require_equal(path.name, validate(path, self.graph, planned, written, checksums))
