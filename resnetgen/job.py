"""One spec on its way to its files: passes -> plan -> write -> read back -> publish."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resnetgen import __version__
from resnetgen.errors import Code, Exit, fail
from resnetgen.files import Create, Output, Staging, staging
from resnetgen.manifest import MANIFEST, Entry, updated
from resnetgen.options import Built, Compiled, Options, Progress, Target
from resnetgen.passes.pipeline import PIPELINE, run_passes
from resnetgen.profiles import choose_opset
from resnetgen.weights.draw import Drawing, keys
from resnetgen.weights.initialise import Initialised
from resnetgen.weights.source import Weights

if TYPE_CHECKING:  # the targets import onnx and jinja2: only when they are built
    from resnetgen.precision.agreement import Measured
    from resnetgen.precision.choice import Lowering
    from resnetgen.precision.lower import Half, Quantised
    from resnetgen.pretrained import Pretrained
    from resnetgen.targets.caffe.emit import CaffePlan
    from resnetgen.targets.onnx.emit import OnnxOptions, OnnxPlan
    from resnetgen.verify import Report


class Job:
    """`plan` refuses everything that can be refused; `run` writes."""

    def __init__(self, compiled: Compiled, options: Options, progress: Progress, stem: str | None = None) -> None:
        """`stem`: what the files are called, where it is not as the spec is."""
        self.compiled, self.options, self.progress = compiled, options, progress
        self.folder = options.output_dir / compiled.spec.name
        self.stem = stem or compiled.spec.stem
        self.pretrained: Pretrained | None = None
        self.weights: Weights = Initialised(compiled.graph, options.seed, options.init)
        if options.pretrained:
            from resnetgen.pretrained import load_pretrained

            self.pretrained = load_pretrained(options.pretrained, compiled.spec, compiled.graph, self.weights)
            self.weights = self.pretrained.weights
        passes = PIPELINE if options.fold else ()
        self.folded, self.folded_weights = run_passes(compiled.graph, self.weights, passes)
        self.drawing: Drawing | None = None
        self.caffe: CaffePlan | None = None
        self.onnx: OnnxPlan | None = None
        self.onnx_options: OnnxOptions | None = None
        self.lowered: Half | Quantised | None = None
        self.measured: Measured | None = None
        lowering = options.lowering
        self.onnx_name = f"{stem or compiled.spec.stem}{f'-{lowering.precision}' if lowering and not stem else ''}.onnx"

    def begin(self) -> None:
        """Draw the first weights while the libraries of the formats are imported, which takes as long."""
        if self.pretrained:
            self.pretrained.hash_ahead()
        if Target.ONNX in self.options.targets:
            self.drawing = Drawing(self.folded_weights, keys(self.folded))

    def plan(self) -> None:
        """Import the targets and translate. Raises Failure for what a target cannot say."""
        if Target.CAFFE in self.options.targets:
            from resnetgen.targets.caffe import emit

            options = self.options
            self.caffe = emit.plan(
                self.compiled.graph, self.compiled.names, options.batch, options.weights, options.dialect
            )
        if Target.ONNX in self.options.targets:
            self.plan_onnx()

    def close(self) -> None:
        if self.drawing:
            self.drawing.close()

    def plan_onnx(self) -> None:
        from resnetgen.targets.onnx import emit
        from resnetgen.targets.onnx.translate import Names

        names = Names(self.options.input_name, self.options.output_name)
        options, metadata = self.options, self.metadata()
        embed = self.compiled.spec.preprocess if options.embed_preprocess else None
        self.onnx_options = emit.OnnxOptions(
            choose_opset(options.opset, options.runtime),
            options.batch,
            names,
            metadata,
            self.digest_of_weights,
            __version__,
            embed,
            options.runtime,
            late_bytes=128 if self.pretrained else 0,  # a name of 24 characters, a sum of 64
            external=options.external_data,
        )
        self.onnx = emit.plan(self.folded, self.onnx_options)
        if options.lowering:
            from resnetgen.precision.lower import Whole, plan

            whole = Whole(self.folded, self.folded_weights, self.onnx, self.onnx_options)
            self.lowered = plan(options.lowering, whole, self.compiled.spec.preprocess)

    def preprocessing(self) -> dict[str, str]:
        """What is to be done to an image, and what of it the model does itself. Raises Failure if that is nothing."""
        spec, embedded = self.compiled.spec, self.options.embed_preprocess
        if embedded and not spec.preprocess:
            hint = "add `preprocess:` to the spec; docs/spec-language.md lists its keys"
            message = f"of an image {spec.input} the spec says no preprocessing"
            raise fail(Exit.SPEC, Code.MISSING_KEY, message, spec.span, hint)
        said = {"resnetgen.preprocess": spec.preprocess.to_json()} if spec.preprocess else {}
        return said | {"resnetgen.embedded": "color divide mean std"} if embedded else said

    def metadata(self) -> dict[str, str]:
        """What a model says of its origin: enough to build it again."""
        import numpy

        spec = self.compiled.spec
        origin = self.origin_of_weights() | self.preprocessing() | self.served_by()
        return origin | {
            "resnetgen.version": __version__,
            "resnetgen.spec": spec.name,
            "resnetgen.spec_sha256": self.compiled.digest,
            "resnetgen.input": str(spec.input),
            "resnetgen.params": json.dumps(spec.params, sort_keys=True),
            "resnetgen.numpy": numpy.__version__,
        }

    def served_by(self) -> dict[str, str]:
        return {"resnetgen.runtime": self.options.runtime.name} if self.options.runtime else {}

    def origin_of_weights(self) -> dict[str, str]:
        drawn = {"resnetgen.init": self.options.init.value, "resnetgen.seed": str(self.options.seed)}
        source = self.options.pretrained
        if not self.pretrained or not source:
            return drawn
        taken = {
            "resnetgen.weights": source.path.name,
            "resnetgen.weights_names": self.pretrained.naming.shown,
        }
        return taken | (drawn | {"resnetgen.reinit": ",".join(source.reinit)} if source.reinit else {})

    def digest_of_weights(self) -> dict[str, str]:
        """Of the checkpoint: hashed while its weights are written."""
        return {"resnetgen.weights_sha256": self.pretrained.sha256} if self.pretrained else {}

    def run(self) -> Built:
        """Write, read back, publish."""
        if self.folder.is_symlink():
            hint = "--output-dir names another folder"
            raise fail(Exit.IO, Code.OUTPUT, f"{self.folder} is a link, which is not followed", hint=hint)
        with staging(self.folder) as stage:
            report = self.write(stage)
            entries = self.entries(stage)
            gone = self.outdated() - entries.keys()
            manifest = partial(updated, self.folder, self.compiled.spec, entries, gone)
            stage.publish(without=gone, last=lambda: (MANIFEST, manifest()))
        return self.built({self.folder / name: entry for name, entry in entries.items()}, report)

    def write(self, stage: Staging) -> Report | None:
        """Write what was planned into a staging folder, read it back, and run it if that was asked for."""
        if Target.IR in self.options.targets:
            self.write_ir(stage)
        if self.caffe:
            self.write_caffe(stage, self.caffe)
        if not self.onnx or not self.onnx_options:
            return None
        if not self.lowered or not self.options.lowering:
            path = stage.path(self.onnx_name)
            self.write_onnx(path, stage.create, self.onnx, self.onnx_options)
            return self.verify(path)
        whole = stage.path("fp32") / self.onnx_name
        whole.parent.mkdir()
        self.write_onnx(whole, Output, self.onnx, self.onnx_options)
        report = self.verify(whole)
        self.measured = self.lower(whole, stage, self.lowered, self.options.lowering)
        return report

    def outdated(self) -> set[str]:
        """The files of an earlier build that this one writes, or takes away."""
        return {f"{self.onnx_name}.data"} if self.onnx else set()

    def entries(self, stage: Staging) -> dict[str, Entry]:
        return {name: self.entry(output) for name, output in stage.outputs.items()}

    def built(self, files: dict[Path, Entry], report: Report | None) -> Built:
        warnings = self.pretrained.warnings if self.pretrained else ()
        return Built(self.compiled, files, report, self.measured, warnings)

    def write_ir(self, stage: Staging) -> None:
        from resnetgen.ir.text import dump

        stage.write_text(f"{self.stem}.ir.txt", dump(self.compiled.graph))

    def write_caffe(self, stage: Staging, planned: CaffePlan) -> None:
        from resnetgen.targets.caffe import emit, validate

        text, model = f"{self.stem}.prototxt", f"{self.stem}.caffemodel"
        if preprocess := self.compiled.spec.preprocess:
            stage.write_text(f"{self.stem}.preprocess.json", preprocess.to_json() + "\n")
        stage.write_text(text, planned.text)
        accept(text, validate.validate_prototxt(stage.path(text), self.compiled.graph, planned))
        if not self.options.weights:
            return
        with self.progress.task(model, planned.payload) as advance:
            checksums = emit.write_caffemodel(planned, self.weights, stage.path(model), advance, stage.create)
        accept(model, validate.validate_caffemodel(stage.path(model), planned, checksums))

    def write_onnx(self, path: Path, create: Create, planned: OnnxPlan, options: OnnxOptions) -> None:
        from resnetgen.targets.onnx import emit, validate

        with self.progress.task(path.name, planned.payload) as advance:
            checksums = emit.write(planned, self.drawing or self.folded_weights, path, advance, create)
        accept(path.name, validate.validate(path, self.folded, planned, options, checksums))

    def verify(self, path: Path) -> Report | None:
        """Where that was asked for."""
        if not self.options.verify:
            return None
        from resnetgen.verify import verify_against_spec

        compiled, settings = self.compiled, self.options.verify
        with self.progress.task("running the model twice", 0):
            report = verify_against_spec(path, compiled.graph, self.weights, settings, compiled.spec.preprocess)
        if not report.passed:
            raise report.failure()
        return report

    def lower(self, whole: Path, stage: Staging, lowered: Half | Quantised, lowering: Lowering) -> Measured:
        """Bring a model to the precision that is wanted, and run both. Raises Failure if they are too far apart."""
        from resnetgen.precision.agreement import measure

        path = stage.path(self.onnx_name)
        with self.progress.task(f"{path.name} from fp32", 0):
            accept(path.name, lowered.write(whole, path, stage.create))
            measured = measure(whole, path, lowered.images, lowering)
        if not measured.passed:
            raise measured.failure()
        return measured

    def entry(self, output: Output) -> Entry:
        has_weights = not output.path.name.endswith((".txt", ".prototxt", "preprocess.json"))
        origin = self.origin_of_weights() | self.digest_of_weights() if has_weights else {}
        origin = {key.removeprefix("resnetgen."): value for key, value in origin.items()}
        if self.measured and output.path.name == self.onnx_name:
            return Entry(output.size, output.sha256, self.compiled.digest, origin | self.measured.to_json())
        return Entry(output.size, output.sha256, self.compiled.digest, origin)


def accept(name: str, differences: list[str]) -> None:
    """What was written must be what was meant; else we have made a mistake and publish nothing."""
    if differences:
        shown = "; ".join(differences[:5]) + ("; ..." if len(differences) > 5 else "")
        hint = "this is a bug of resnetgen; nothing was written. Please report it with the spec"
        raise fail(Exit.BUG, Code.BUG, f"{name}, read back, differs from its graph: {shown}", hint=hint)
