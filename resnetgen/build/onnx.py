"""ONNX model of a job: folded, written, run if `verify` is set, and lowered to another precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from resnetgen import __version__
from resnetgen.build.readback import require_equal
from resnetgen.build.work import Work
from resnetgen.passes.pipeline import PIPELINE, run_passes
from resnetgen.profiles import choose_opset
from resnetgen.staging.files import Create, Output, Staging
from resnetgen.weights.draw import Drawing, keys

if TYPE_CHECKING:  # the target imports onnx's messages, needed only if it is built
    from resnetgen.formats.onnx.write import OnnxOptions, OnnxPlan
    from resnetgen.precision.agreement import Measured
    from resnetgen.precision.plan import Fp16Plan, Int8Plan
    from resnetgen.verify import Report

_LATE_BYTES = 128
"""Largest size of a checkpoint's checksum in the metadata: a name of 24 characters, a checksum of 64."""


class OnnxModel:
    def __init__(self, work: Work, name: str) -> None:
        self._work = work
        passes = PIPELINE if work.options.fold else ()
        self._graph, self._weights = run_passes(work.network.graph, work.weights, passes)
        self.name = name
        """Name of the file."""
        self.report: Report | None = None
        """Result of verification; None if it was not asked for."""
        self.measured: Measured | None = None
        """Agreement of a model of lower precision with fp32; None if there is none."""
        self._drawing: Drawing | None = None
        self._planned: tuple[OnnxPlan, OnnxOptions] | None = None
        self._lowered: Fp16Plan | Int8Plan | None = None

    def begin(self) -> None:
        """Start drawing weights while the libraries of the format are imported, which takes as long."""
        self._drawing = Drawing(self._weights, keys(self._graph))

    def close(self) -> None:
        if self._drawing:
            self._drawing.close()

    def plan(self) -> None:
        """Translate the graph. Raises Failure for options that the opset, the server or the precision does not
        allow."""
        from resnetgen.formats.onnx.lower import Names
        from resnetgen.formats.onnx.write import OnnxOptions, plan

        work, options = self._work, self._work.options
        wanted = OnnxOptions(
            opset=choose_opset(options.opset, options.runtime),
            batch=options.batch,
            names=Names(options.input_name, options.output_name),
            metadata=work.metadata(),
            late_metadata=work.digest_of_weights,
            producer_version=__version__,
            embed=work.network.spec.preprocess if options.embed_preprocess else None,
            runtime=options.runtime,
            late_bytes=_LATE_BYTES if work.pretrained else 0,
            external=options.external_data,
        )
        planned = plan(self._graph, wanted)
        self._planned = planned, wanted
        if options.precision:
            from resnetgen.precision.plan import Fp32Plan, plan_precision

            whole = Fp32Plan(self._graph, self._weights, planned, wanted)
            self._lowered = plan_precision(options.precision, whole, work.network.spec.preprocess)

    def write(self, stage: Staging) -> None:
        if not self._lowered:
            path = stage.path(self.name)
            self._write(path, stage.create)
            self._verify(path)
            return
        whole = stage.path("fp32") / self.name
        whole.parent.mkdir()
        self._write(whole, Output)
        self._verify(whole)  # stricter than the tolerance of the lower precision
        self._lower(whole, stage, self._lowered)
        self._verify(stage.path(self.name))  # the report is that of the published file

    def _write(self, path: Path, create: Create) -> None:
        from resnetgen.formats.onnx.validate import validate
        from resnetgen.formats.onnx.write import write

        assert self._planned, "plan comes first"
        planned, wanted = self._planned
        with self._work.progress.task(path.name, planned.payload) as advance:
            checksums = write(planned, self._drawing or self._weights, path, advance, create)
        require_equal(path.name, validate(path, self._graph, planned, wanted, checksums))

    def _verify(self, path: Path) -> None:
        """Verify the model if that was asked for. Raises Failure (exit 7) if it differs from the spec."""
        work, settings = self._work, self._work.options.verify
        if not settings:
            return
        from resnetgen.verify import verify_against_spec

        network = work.network
        with work.progress.task("running the model twice", 0):
            self.report = verify_against_spec(path, network.graph, work.weights, settings, network.spec.preprocess)
        if not self.report.passed:
            raise self.report.failure()

    def _lower(self, whole: Path, stage: Staging, lowered: Fp16Plan | Int8Plan) -> None:
        """Lower the model to the wanted precision, and run both. Raises Failure (exit 7) if they differ too much."""
        from resnetgen.precision.agreement import measure

        path, precision = stage.path(self.name), self._work.options.precision
        assert precision, "plan comes first"
        with self._work.progress.task(f"{self.name} from fp32", 0):
            require_equal(self.name, lowered.write(whole, path, stage.create))
            self.measured = measure(whole, path, lowered.images, precision)
        if not self.measured.passed:
            raise self.measured.failure()
