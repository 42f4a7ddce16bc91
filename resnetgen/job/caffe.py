"""Caffe files of a job: the prototxt, the preprocessing of images, and the caffemodel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resnetgen.files import Staging
from resnetgen.job.accept import accept
from resnetgen.job.work import Work

if TYPE_CHECKING:  # the target imports protobuf and jinja2, needed only if it is built
    from resnetgen.targets.caffe.emit import CaffePlan


class CaffeFiles:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._planned: CaffePlan | None = None

    def plan(self) -> None:
        """Translate the graph. Raises Failure: exit 3 for what the dialect cannot express, exit 6 for too large a
        caffemodel."""
        from resnetgen.targets.caffe import emit

        compiled, options = self._work.compiled, self._work.options
        self._planned = emit.plan(compiled.graph, compiled.names, options.batch, options.weights, options.dialect)

    def write(self, stage: Staging) -> None:
        from resnetgen.targets.caffe import emit, validate

        work, planned = self._work, self._planned
        assert planned, "plan comes first"
        text, model = f"{work.stem}.prototxt", f"{work.stem}.caffemodel"
        if preprocess := work.compiled.spec.preprocess:
            stage.write_text(f"{work.stem}.preprocess.json", preprocess.to_json() + "\n")
        stage.write_text(text, planned.text)
        accept(text, validate.validate_prototxt(stage.path(text), work.compiled.graph, planned))
        if not work.options.weights:
            return
        with work.progress.task(model, planned.payload) as advance:
            checksums = emit.write_caffemodel(planned, work.weights, stage.path(model), advance, stage.create)
        accept(model, validate.validate_caffemodel(stage.path(model), planned, checksums))
