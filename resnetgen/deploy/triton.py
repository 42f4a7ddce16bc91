"""A model repository for Triton: <repository>/<name>/{config.pbtxt, labels.txt, <version>/model.onnx}."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from resnetgen.compiler import compile_spec
from resnetgen.deploy import standing
from resnetgen.deploy.check import differences
from resnetgen.deploy.config import CONFIG, Device, Serving, configure
from resnetgen.deploy.labels import read_labels
from resnetgen.deploy.model import MODEL, planned
from resnetgen.errors import Code, Exit, fail
from resnetgen.files import staging
from resnetgen.job import Built, Options, Progress, Quiet, accept
from resnetgen.labels import LABELS

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class Wanted:
    """What is to stand in the repository."""

    name: str | None = None
    """None: the spec's own."""
    version: int | None = None
    """None: the next one that is free."""
    labels: Path | None = None
    serving: Serving = field(default_factory=Serving)


def deploy(word: str, options: Options, wanted: Wanted, progress: Progress | None = None) -> Built:
    """Add a model, or a version of one, to the repository `options.output_dir`. Raises Failure.

    Either appears by the renaming of a finished folder; no version that stands there is changed.
    """
    _refuse(options, wanted.serving)
    compiled = compile_spec(word, options.settings, options.max_nodes, options.image)
    name = _checked(wanted.name or compiled.spec.stem)
    labels = read_labels(wanted.labels, compiled) if wanted.labels else None
    config = configure(name, compiled, options, wanted.serving, LABELS if labels else None)
    text = config.render()
    model = options.output_dir / name
    is_new = not (model.exists() or model.is_symlink())
    if not is_new:
        standing.accept(model, text, labels)
    version = model / str(wanted.version or standing.next_version(model))
    if version.exists():
        hint = "leave out --model-version for the next one that is free"
        raise fail(Exit.IO, Code.OUTPUT, f"{version} stands there, and a version is never changed", hint=hint)
    with planned(compiled, options, progress or Quiet()) as job, staging(_workshop(options.output_dir)) as stage:
        report = job.write(stage)
        accept(CONFIG, differences(text, name, stage.path(MODEL), config.labels))
        # Triton wants a model with external data to be a folder.
        inner = f"{MODEL}/" if len(stage.outputs) > 1 else ""
        layout = {file: f"{inner}{file}" for file in stage.outputs}
        files = {version / layout[file]: entry for file, entry in job.entries(stage).items()}
        around = {CONFIG: text} | ({LABELS: labels} if labels else {})
        for file, content in (around if is_new else standing.changed(model, around)).items():
            stage.write_text(file, content)
            files[model / file] = job.entry(stage.outputs[file])
        if is_new:
            inside = {file: f"{version.name}/{path}" for file, path in layout.items()}
            stage.publish_folder(inside | {file: file for file in around}, model)
        else:
            stage.publish_folder(layout, version)
            stage.publish(model)  # the settings, where they have changed
    return job.built(files, report)


def _workshop(repository: Path) -> Path:
    """Where unfinished files stand: beside the repository, since a server that polls it takes each folder for a model.

    In it where a rename from there would leave the file system, or its folder is not ours to write.
    """
    outside = repository.resolve().parent
    if not repository.exists():
        return outside
    is_near = outside.stat().st_dev == repository.stat().st_dev
    return outside if is_near and os.access(outside, os.W_OK) else repository


def _refuse(options: Options, serving: Serving) -> None:
    """What contradicts itself, before anything is compiled."""
    if options.batch and serving.max_batch:
        message = f"a batch fixed at {options.batch} leaves nothing to batch up to {serving.max_batch}"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint="leave out --batch, or --max-batch")
    if too_large := [size for size in serving.preferred if size > serving.max_batch]:
        message = f"a preferred batch of {too_large[0]} is above --max-batch {serving.max_batch}"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint=f"--max-batch {max(too_large)} or above")
    if serving.tensorrt and serving.device is not Device.GPU:
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, "TensorRT runs on a GPU alone", hint="add --device gpu")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        message = f"Triton takes no model called {name!r}"
        hint = "--name with letters, digits, _, - and ., 200 at most, and no - or . first"
        raise fail(Exit.USAGE, Code.BAD_NAME, message, hint=hint)
    return name
