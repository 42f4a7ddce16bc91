"""Build of a spec's targets: all are planned before any is written, and they are published together."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from resnetgen.build.caffe import CaffeFiles
from resnetgen.build.onnx import OnnxModel
from resnetgen.build.options import Built, Options, Progress, Target
from resnetgen.build.work import gather
from resnetgen.errors import Code, Exit, fail
from resnetgen.manifest import MANIFEST, Entry, updated
from resnetgen.network import Network
from resnetgen.staging.files import Output, Staging, staging

_WITHOUT_WEIGHTS = (".txt", ".prototxt", "preprocess.json")
"""Endings of files without weights."""


class Job:
    """Build of one spec: `plan` refuses everything that can be refused; `run` writes."""

    def __init__(self, network: Network, options: Options, progress: Progress, stem: str | None = None) -> None:
        """Prepare a build. `stem` is the base name of the files; None for the default of spec and precision."""
        self.network, self.options = network, options
        self.folder = options.output_dir / network.spec.name
        self._work = work = gather(network, options, progress, stem or network.spec.stem)
        self._caffe = CaffeFiles(work) if Target.CAFFE in options.targets else None
        bits = f"-{options.precision.target}" if options.precision and not stem else ""
        self._onnx = OnnxModel(work, f"{work.stem}{bits}.onnx") if Target.ONNX in options.targets else None

    def begin(self) -> None:
        """Start the work that can run while the targets are imported."""
        if self._work.pretrained:
            self._work.pretrained.hash_ahead()
        if self._onnx:
            self._onnx.begin()

    def plan(self) -> None:
        """Import the targets and translate the graph. Raises Failure for what a target cannot express."""
        if self._caffe:
            self._caffe.plan()
        if self._onnx:
            self._onnx.plan()

    def close(self) -> None:
        """Stop what `begin` has started."""
        if self._onnx:
            self._onnx.close()

    def run(self) -> Built:
        """Write the files, read them back and publish them."""
        if self.folder.is_symlink():
            hint = "--output-dir names another folder"
            raise fail(Exit.IO, Code.OUTPUT, f"{self.folder} is a link, which is not followed", hint=hint)
        with staging(self.folder) as stage:
            self.write(stage)
            entries = self.entries(stage)
            gone = self._outdated() - entries.keys()
            manifest = partial(updated, self.folder, self.network.spec, entries, gone)
            stage.publish(without=gone, last=lambda: (MANIFEST, manifest()))
        return self.built({self.folder / name: entry for name, entry in entries.items()})

    def write(self, stage: Staging) -> None:
        """Write the planned files into a staging folder, read them back, and run the model if `verify` is set."""
        if Target.IR in self.options.targets:
            from resnetgen.ir.text import dump

            stage.write_text(f"{self._work.stem}.ir.txt", dump(self.network.graph))
        if self._caffe:
            self._caffe.write(stage)
        if self._onnx:
            self._onnx.write(stage)

    def entries(self, stage: Staging) -> dict[str, Entry]:
        """Return the manifest's entry of each file."""
        return {name: self._entry(output) for name, output in stage.outputs.items()}

    def built(self, files: dict[Path, Entry]) -> Built:
        warnings = self._work.pretrained.warnings if self._work.pretrained else ()
        if not self._onnx:
            return Built(self.network, files, warnings=warnings)
        return Built(self.network, files, self._onnx.report, self._onnx.measured, warnings)

    def _outdated(self) -> set[str]:
        """Return the files of an earlier build that this one may replace or remove."""
        return {f"{self._onnx.name}.data"} if self._onnx else set()

    def _entry(self, output: Output) -> Entry:
        has_weights = not output.path.name.endswith(_WITHOUT_WEIGHTS)
        origin = self._work.origin_of_weights() | self._work.digest_of_weights() if has_weights else {}
        origin = {key.removeprefix("resnetgen."): value for key, value in origin.items()}
        if self._onnx and self._onnx.measured and output.path.name == self._onnx.name:
            origin |= self._onnx.measured.to_json()
        return Entry(output.size, output.sha256, self.network.digest, origin)
