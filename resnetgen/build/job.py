"""Build of one network: all of its formats are planned before any is written, and they are published together."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resnetgen.build.options import Built, Options
from resnetgen.errors import Code, FileError
from resnetgen.formats import registry
from resnetgen.formats.registry import Files
from resnetgen.manifest import MANIFEST, FileEntry, updated
from resnetgen.network import Network
from resnetgen.progress import Progress
from resnetgen.staging.files import Output, Staging, staging
from resnetgen.weights.traced import TracedWeights

if TYPE_CHECKING:  # imported for type annotations only
    from resnetgen.precision.lowered_files import LoweredFiles
    from resnetgen.verification import Report

_WITHOUT_WEIGHTS = (".txt", ".prototxt", "preprocess.json")
"""Endings of files without weights."""


class Job:
    """Build of one network: `plan` refuses everything that can be refused; `run` writes."""

    def __init__(
        self,
        network: Network,
        weights: TracedWeights,
        options: Options,
        progress: Progress,
        stem: str | None = None,
        folder: Path | None = None,
    ) -> None:
        """Prepare a build.

        `stem`: base name of the files; None for that of the spec, with the precision. `folder`: folder of the files;
        None for the spec's own below the output folder.
        """
        self.network, self.options = network, options
        self.folder = folder or options.output_dir / network.spec.name
        self._weights, self._progress = weights, progress
        self._request = network.request(weights, options, stem or network.spec.stem)
        self._lowered: LoweredFiles | None = None
        self._report: Report | None = None
        precision = f"-{options.precision.target}" if options.precision and not stem else ""
        self._model = f"{self._request.stem}{precision}.onnx"
        # In reverse, so that texts come before weights, and a model that is verified comes last.
        self._files = [self._files_of(name) for name in reversed(registry.names()) if name in options.targets]

    def _files_of(self, name: str) -> Files:
        if name != "onnx" or not self.options.precision:
            return registry.find(name).files(self._request)
        from resnetgen.precision.lowered_files import LoweredFiles

        self._lowered = LoweredFiles(self._request, self._model, self.options.precision, self._verify)
        return self._lowered

    def begin(self) -> None:
        """Start the work that can run while libraries are imported."""
        self._weights.begin()
        for files in self._files:
            files.begin()

    def plan(self) -> None:
        """Import the formats and translate the graph. Raises Failure for what a format cannot express."""
        for files in self._files:
            files.plan()

    def close(self) -> None:
        """Stop what `begin` has started."""
        for files in self._files:
            files.close()

    def run(self) -> Built:
        """Write the files, read them back and publish them."""
        if os.path.islink(self.folder):  # unlike Path.is_symlink it does not raise for a name that is too long
            hint = "--output-dir names another folder"
            raise FileError.of(Code.OUTPUT, f"{self.folder} is a link, which is not followed", hint=hint)
        with staging(self.folder) as stage:
            self.write(stage)
            entries = self.entries(stage)
            gone = frozenset[str]().union(*(files.replaces for files in self._files)) - entries.keys()
            manifest = partial(updated, self.folder, self.network.spec, entries, gone)
            stage.publish(without=gone, last=lambda: (MANIFEST, manifest()))
        return self.built({self.folder / name: entry for name, entry in entries.items()})

    def write(self, stage: Staging) -> None:
        """Write the planned files into a staging folder, read them back, and run the ONNX model if that was asked
        for."""
        for files in self._files:
            files.write(stage, self._progress)
        self._verify(stage.path(self._model))

    def entries(self, stage: Staging) -> dict[str, FileEntry]:
        """Return the manifest's entry of each file."""
        return {name: self._entry(output) for name, output in stage.outputs.items()}

    def built(self, files: dict[Path, FileEntry]) -> Built:
        """Return the result, once the files are published."""
        measured = self._lowered.measured if self._lowered else None
        return Built(self.network, files, self._report, measured, self._weights.warnings)

    def _verify(self, path: Path) -> None:
        """Verify a model if that was asked for. Raises VerificationError if it differs from the spec."""
        settings = self.options.verify
        if not settings:
            return
        from resnetgen.verification import verify_against_spec

        network = self.network
        with self._progress.task("running the model twice", 0):
            report = verify_against_spec(path, network.graph, self._weights, settings, network.spec.preprocess)
        if not report.passed:
            raise report.failure()
        self._report = report  # the last one is that of the published file

    def _entry(self, output: Output) -> FileEntry:
        has_weights = not output.path.name.endswith(_WITHOUT_WEIGHTS)
        origin = self._weights.origin | self._weights.late_origin() if has_weights else {}
        shown = {key.removeprefix("resnetgen."): value for key, value in origin.items()}
        if self._lowered and self._lowered.measured and output.path.name == self._lowered.name:
            shown |= self._lowered.measured.to_json()
        return FileEntry(output.size, output.sha256, self.network.digest, shown)
