"""One spec on its way to its files: passes -> plan -> write -> read back -> publish."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resnetgen import __version__
from resnetgen.errors import Code, Exit, fail
from resnetgen.expand.builder import MAX_NODES
from resnetgen.files import Output, Staging, staging
from resnetgen.ir.graph import Graph
from resnetgen.manifest import MANIFEST, Entry, updated
from resnetgen.passes.pipeline import PIPELINE, run_passes
from resnetgen.spec.table import Spec
from resnetgen.targets.caffe.dialect import Dialect
from resnetgen.weights.draw import Drawing, keys
from resnetgen.weights.initialise import Init, Initialised
from resnetgen.weights.names import NameMap, load_name_map

if TYPE_CHECKING:  # the targets import onnx and jinja2: only when they are built
    from resnetgen.targets.caffe.emit import CaffePlan
    from resnetgen.targets.onnx.emit import OnnxOptions, OnnxPlan
    from resnetgen.verify import Report, Settings


class Target(StrEnum):
    ONNX = "onnx"
    CAFFE = "caffe"
    IR = "ir"


class Progress(Protocol):
    """Told of long work: `task("what", total)` gives a function that is called with each part done."""

    def task(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]: ...


class Quiet:
    def task(self, what: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        return nullcontext(lambda _: None)


@dataclass(frozen=True)
class Compiled:
    spec: Spec
    graph: Graph
    digest: str
    """SHA-256 of every file that the spec draws on and of the parameters in force."""

    @property
    def names(self) -> NameMap | None:
        return load_name_map(self.spec.names.text, self.spec.names.span) if self.spec.names else None


@dataclass(frozen=True)
class Options:
    targets: tuple[Target, ...] = (Target.ONNX,)
    output_dir: Path = Path("generated")
    init: Init = Init.HE
    seed: int = 0
    weights: bool = True
    fold: bool = True
    batch: int | None = None
    dialect: Dialect = Dialect.BVLC
    opset: int = 17
    input_name: str = "input"
    output_name: str = "output"
    settings: dict[str, int | float] = field(default_factory=dict)
    max_nodes: int = MAX_NODES
    image: str | None = None
    """An input in place of the spec's own: 3x320x320."""
    verify: Settings | None = None
    """How the built ONNX model is to be run before it is published; None: it is not."""


@dataclass(frozen=True)
class Built:
    """What one spec became."""

    compiled: Compiled
    files: dict[Path, Entry]
    report: Report | None


class Job:
    """`plan` refuses everything that can be refused; `run` writes."""

    def __init__(self, compiled: Compiled, options: Options, progress: Progress) -> None:
        self.compiled, self.options, self.progress = compiled, options, progress
        self.folder = options.output_dir / compiled.spec.name
        self.stem = compiled.spec.stem
        self.weights = Initialised(compiled.graph, options.seed, options.init)
        passes = PIPELINE if options.fold else ()
        self.folded, self.folded_weights = run_passes(compiled.graph, self.weights, passes)
        self.drawing: Drawing | None = None
        self.caffe: CaffePlan | None = None
        self.onnx: OnnxPlan | None = None
        self.onnx_options: OnnxOptions | None = None

    def begin(self) -> None:
        """Draw the first weights while the libraries of the formats are imported, which takes as long."""
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
        metadata = self.metadata()
        self.onnx_options = emit.OnnxOptions(self.options.opset, self.options.batch, names, metadata, __version__)
        self.onnx = emit.plan(self.folded, self.onnx_options)

    def metadata(self) -> dict[str, str]:
        """What a model says of its origin: enough to build it again."""
        import numpy

        spec, options = self.compiled.spec, self.options
        return {
            "resnetgen.version": __version__,
            "resnetgen.spec": spec.name,
            "resnetgen.spec_sha256": self.compiled.digest,
            "resnetgen.input": str(spec.input),
            "resnetgen.params": json.dumps(spec.params, sort_keys=True),
            "resnetgen.init": options.init.value,
            "resnetgen.seed": str(options.seed),
            "resnetgen.numpy": numpy.__version__,
        }

    def run(self) -> Built:
        """Write, read back, publish."""
        report = None
        with staging(self.folder) as stage:
            if Target.IR in self.options.targets:
                self.write_ir(stage)
            if self.caffe:
                self.write_caffe(stage, self.caffe)
            if self.onnx and self.onnx_options:
                self.write_onnx(stage, self.onnx, self.onnx_options)
            if self.options.verify:
                report = self.verify(stage, self.options.verify)
            entries = {name: self.entry(output) for name, output in stage.outputs.items()}
            stage.write_text(MANIFEST, updated(self.folder, self.compiled.spec, entries))
            stage.publish()
        files = {self.folder / name: entry for name, entry in entries.items()}
        return Built(self.compiled, files, report)

    def write_ir(self, stage: Staging) -> None:
        from resnetgen.ir.text import dump

        stage.write_text(f"{self.stem}.ir.txt", dump(self.compiled.graph))

    def write_caffe(self, stage: Staging, planned: CaffePlan) -> None:
        from resnetgen.targets.caffe import emit, validate

        text, model = f"{self.stem}.prototxt", f"{self.stem}.caffemodel"
        stage.write_text(text, planned.text)
        self.accept(text, validate.validate_prototxt(stage.path(text), self.compiled.graph, planned))
        if not self.options.weights:
            return
        with self.progress.task(model, planned.payload) as advance:
            checksums = emit.write_caffemodel(planned, self.weights, stage.path(model), advance, stage.create)
        self.accept(model, validate.validate_caffemodel(stage.path(model), planned, checksums))

    def write_onnx(self, stage: Staging, planned: OnnxPlan, options: OnnxOptions) -> None:
        from resnetgen.targets.onnx import emit, validate

        path = stage.path(f"{self.stem}.onnx")
        with self.progress.task(path.name, planned.payload) as advance:
            checksums = emit.write(planned, self.drawing or self.folded_weights, path, advance, stage.create)
        self.accept(path.name, validate.validate(path, self.folded, planned, options, checksums))

    def accept(self, name: str, differences: list[str]) -> None:
        """What was written must be what was meant; else we have made a mistake and publish nothing."""
        if differences:
            shown = "; ".join(differences[:5]) + ("; ..." if len(differences) > 5 else "")
            hint = "this is a bug of resnetgen; nothing was written. Please report it with the spec"
            raise fail(Exit.BUG, Code.BUG, f"{name}, read back, differs from its graph: {shown}", hint=hint)

    def verify(self, stage: Staging, settings: Settings) -> Report:
        from resnetgen.verify import verify_against_spec

        with self.progress.task("running the model twice", 0):
            report = verify_against_spec(stage.path(f"{self.stem}.onnx"), self.compiled.graph, self.weights, settings)
        if not report.passed:
            raise report.failure()
        return report

    def entry(self, output: Output) -> Entry:
        has_weights = not output.path.name.endswith((".ir.txt", ".prototxt"))
        origin = {"init": self.options.init.value, "seed": self.options.seed} if has_weights else {}
        return Entry(output.size, output.sha256, self.compiled.digest, origin)
