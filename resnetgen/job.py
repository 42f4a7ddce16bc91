"""One spec on its way to its files: passes -> plan -> write -> read back -> publish."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resnetgen import __version__
from resnetgen.errors import Code, Exit, fail
from resnetgen.expand.builder import MAX_NODES
from resnetgen.files import Staging, staging
from resnetgen.ir.graph import Graph
from resnetgen.manifest import MANIFEST, Entry, updated
from resnetgen.passes.pipeline import PIPELINE, run_passes
from resnetgen.spec.table import Spec
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
    opset: int = 17
    input_name: str = "input"
    output_name: str = "output"
    settings: dict[str, int | float] = field(default_factory=dict)
    max_nodes: int = MAX_NODES
    verify: Settings | None = None
    """How the built ONNX model is to be run before it is published; None: it is not."""


@dataclass(frozen=True)
class Built:
    """What one spec became."""

    compiled: Compiled
    files: dict[Path, Entry]
    report: Report | None


class Job:
    """Everything that can be refused is refused when it is made; `run` writes."""

    def __init__(self, compiled: Compiled, options: Options, progress: Progress) -> None:
        self.compiled, self.options, self.progress = compiled, options, progress
        self.folder = options.output_dir / compiled.spec.name
        self.stem = compiled.spec.stem
        self.weights = Initialised(compiled.graph, options.seed, options.init)
        passes = PIPELINE if options.fold else ()
        self.folded, self.folded_weights = run_passes(compiled.graph, self.weights, passes)
        self.caffe: CaffePlan | None = None
        self.onnx: OnnxPlan | None = None
        self.onnx_options: OnnxOptions | None = None
        if Target.CAFFE in options.targets:
            from resnetgen.targets.caffe import emit

            self.caffe = emit.plan(compiled.graph, compiled.names, options.batch, options.weights)
        if Target.ONNX in options.targets:
            self.plan_onnx()

    def plan_onnx(self) -> None:
        from resnetgen.targets.onnx import emit
        from resnetgen.targets.onnx.translate import Names

        names = Names(self.options.input_name, self.options.output_name)
        metadata = self.metadata()
        self.onnx_options = emit.OnnxOptions(self.options.opset, self.options.batch, names, metadata, __version__)
        self.onnx = emit.plan(self.folded, self.onnx_options)

    def metadata(self) -> dict[str, str]:
        """What a model says of its origin: enough to build it again."""
        from importlib.metadata import version

        spec, options = self.compiled.spec, self.options
        return {
            "resnetgen.version": __version__,
            "resnetgen.spec": spec.name,
            "resnetgen.spec_sha256": self.compiled.digest,
            "resnetgen.params": ",".join(f"{name}={value}" for name, value in sorted(spec.params.items())),
            "resnetgen.init": options.init.value,
            "resnetgen.seed": str(options.seed),
            "resnetgen.numpy": version("numpy"),
        }

    def run(self) -> Built:
        report = None
        with staging(self.folder) as stage:
            names = []
            if Target.IR in self.options.targets:
                names += self.write_ir(stage)
            if self.caffe:
                names += self.write_caffe(stage, self.caffe)
            if self.onnx and self.onnx_options:
                names += self.write_onnx(stage, self.onnx, self.onnx_options)
            if self.options.verify:
                report = self.verify(stage, self.options.verify)
            entries = {name: self.entry(stage.path(name)) for name in names}
            manifest = updated(self.folder, self.compiled.spec, entries)
            stage.path(MANIFEST).write_text(manifest, encoding="utf-8", newline="\n")
            stage.publish([*names, MANIFEST])
        files = {self.folder / name: entry for name, entry in entries.items()}
        return Built(self.compiled, files, report)

    def write_ir(self, stage: Staging) -> list[str]:
        from resnetgen.ir.text import dump

        name = f"{self.stem}.ir.txt"
        stage.path(name).write_text(dump(self.compiled.graph), encoding="utf-8", newline="\n")
        return [name]

    def write_caffe(self, stage: Staging, planned: CaffePlan) -> list[str]:
        from resnetgen.targets.caffe import emit, validate

        text, model = f"{self.stem}.prototxt", f"{self.stem}.caffemodel"
        emit.write_prototxt(planned, stage.path(text))
        self.accept(text, validate.validate_prototxt(stage.path(text), self.compiled.graph, planned))
        if not self.options.weights:
            return [text]
        total = sum(4 * p.size for node in self.compiled.graph.nodes for p in self.compiled.graph.parameters(node))
        with self.progress.task(model, total) as advance:
            digests = emit.write_caffemodel(planned, self.weights, stage.path(model), advance)
        self.accept(model, validate.validate_caffemodel(stage.path(model), planned, digests))
        return [text, model]

    def write_onnx(self, stage: Staging, planned: OnnxPlan, options: OnnxOptions) -> list[str]:
        from resnetgen.targets.onnx import emit, validate

        name = f"{self.stem}.onnx"
        with self.progress.task(name, planned.payload) as advance:
            written = emit.write(planned, self.folded_weights, stage.path(name), advance)
        self.accept(name, validate.validate(stage.path(name), self.folded, planned, options, written.digests))
        return list(written.files)

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

    def entry(self, path: Path) -> Entry:
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        has_weights = path.suffix in (".onnx", ".caffemodel", ".data")
        origin = {"init": self.options.init.value, "seed": self.options.seed} if has_weights else {}
        return Entry(path.stat().st_size, digest, self.compiled.digest, origin)
