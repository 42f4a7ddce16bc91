"""Caffe files of a job: the prototxt, the preprocessing of images, and the caffemodel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnetgen.build.readback import require_equal
from resnetgen.build.work import Work
from resnetgen.staging.files import Staging

if TYPE_CHECKING:  # the target imports protobuf and jinja2, needed only if it is built
    from resnetgen.formats.caffe.emit import CaffePlan


class CaffeFiles:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._planned: CaffePlan | None = None

    def plan(self) -> None:
        """Translate the graph. Raises Failure: exit 3 for what the dialect cannot express, exit 6 for too large a
        caffemodel."""
        from resnetgen.formats.caffe import emit

        network, options = self._work.network, self._work.options
        self._planned = emit.plan(network.graph, network.names, options.batch, options.weights, options.dialect)

    def write(self, stage: Staging) -> None:
        from resnetgen.formats.caffe import emit, validate

        work, planned = self._work, self._planned
        assert planned, "plan comes first"
        text, model = f"{work.stem}.prototxt", f"{work.stem}.caffemodel"
        if preprocess := work.network.spec.preprocess:
            stage.write_text(f"{work.stem}.preprocess.json", preprocess.to_json() + "\n")
        stage.write_text(text, planned.text)
        require_equal(text, validate.validate_prototxt(stage.path(text), work.network.graph, planned))
        if not work.options.weights:
            return
        with work.progress.task(model, planned.payload) as advance:
            checksums = emit.write_caffemodel(planned, work.weights, stage.path(model), advance, stage.create)
        require_equal(model, validate.validate_caffemodel(stage.path(model), planned, checksums))
