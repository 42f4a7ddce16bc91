"""Caffe as a format: the prototxt, the preprocessing of images, and the caffemodel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnetgen.formats.caffe.dialect import Dialect
from resnetgen.formats.readback import require_equal
from resnetgen.formats.registry import Files, Request
from resnetgen.ir.graph import Graph
from resnetgen.progress import Progress
from resnetgen.staging.files import Staging
from resnetgen.weights.names import NameMap

if TYPE_CHECKING:  # imports protobuf and jinja2, needed only if the format is written
    from resnetgen.formats.caffe.write import CaffePlan


class CaffeFormat:
    name = "caffe"
    title = "Caffe"
    help = "a prototxt and a caffemodel"
    dialects = tuple(dialect.value for dialect in Dialect)
    is_model = True
    needs_weights = False

    def files(self, request: Request) -> CaffeFiles:
        return CaffeFiles(request)

    def check(self, graph: Graph, names: NameMap | None, dialect: str) -> None:
        """Raise SpecError for a network that the dialect cannot express."""
        from resnetgen.formats.caffe.lower import lower

        lower(graph, names, 1, Dialect(dialect))


class CaffeFiles(Files):
    def __init__(self, request: Request) -> None:
        self._request = request
        self._planned: CaffePlan | None = None

    def plan(self) -> None:
        """Translate the graph. Raises Failure: exit 3 for what the dialect cannot express, exit 6 for too large a
        caffemodel."""
        from resnetgen.formats.caffe import write

        request, options = self._request, self._request.options
        dialect = options.dialect or Dialect.BVLC
        self._planned = write.plan(request.graph, request.names, options.batch, options.weights, dialect)

    def write(self, stage: Staging, progress: Progress) -> None:
        from resnetgen.formats.caffe import validate, write

        request, planned = self._request, self._planned
        assert planned, "plan comes first"
        text, model = f"{request.stem}.prototxt", f"{request.stem}.caffemodel"
        if request.preprocess:
            stage.write_text(f"{request.stem}.preprocess.json", request.preprocess.to_json() + "\n")
        stage.write_text(text, planned.text)
        require_equal(text, validate.validate_prototxt(stage.path(text), request.graph, planned))
        if not request.options.weights:
            return
        with progress.task(model, planned.payload) as advance:
            checksums = write.write_caffemodel(planned, request.weights, stage.path(model), advance, stage.create)
        require_equal(model, validate.validate_caffemodel(stage.path(model), planned, checksums))
