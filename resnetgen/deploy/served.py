"""Folder for ONNX Runtime: model.onnx, labels.txt, preprocess.json and manifest.json, as `predict` reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from resnetgen import manifest
from resnetgen.build.options import Built, Options, Progress, Quiet
from resnetgen.deploy.labels import read_labels
from resnetgen.deploy.model import MODEL, planned
from resnetgen.errors import Code, Exit, fail
from resnetgen.labels import LABELS
from resnetgen.network import compile_spec
from resnetgen.predict.folder import PREPROCESS
from resnetgen.staging.files import Staging, staging
from resnetgen.staging.folders import beside

_OPTIONAL = (LABELS, PREPROCESS, f"{MODEL}.data")
"""Files that the next model of a folder may not have; old ones are then removed."""


def deploy(word: str, options: Options, labels: Path | None = None, progress: Progress | None = None) -> Built:
    """Write the folder `options.output_dir`, or rewrite it if an earlier deploy wrote it. Raises Failure."""
    folder = options.output_dir
    _refuse_foreign(folder)
    network = compile_spec(word, options.settings, options.max_nodes, options.image)
    spec = network.spec
    texts = {LABELS: read_labels(labels, network)} if labels else {}
    if spec.preprocess:
        said = json.loads(spec.preprocess.to_json()) | {"embedded": options.embed_preprocess}
        texts[PREPROCESS] = json.dumps(said) + "\n"
    with planned(network, options, progress or Quiet()) as job, staging(beside(folder)) as stage:
        job.write(stage)
        for name, text in texts.items():
            stage.write_text(name, text)
        entries = job.entries(stage)
        stage.write_text(manifest.MANIFEST, manifest.text(spec, entries))
        _publish(stage, folder)
    built = job.built({folder / name: entry for name, entry in entries.items()})
    unsaid = () if spec.preprocess else (f"{spec.title} says nothing of preprocessing: images are taken as they are",)
    return replace(built, warnings=(*built.warnings, *unsaid))


def _publish(stage: Staging, folder: Path) -> None:
    """Publish the files. A new folder appears at once: the next deploy would take a model without its manifest for a
    foreign one."""
    if not folder.exists():
        try:
            return stage.publish_folder({name: name for name in stage.outputs}, folder)
        except FileExistsError:  # another deploy was faster
            _refuse_foreign(folder)
    stage.publish(folder, without=set(_OPTIONAL) - stage.outputs.keys())
    return None


def _refuse_foreign(folder: Path) -> None:
    """Raise Failure (exit 5) if the folder has files of another program or command, which are not overwritten."""
    if MODEL in manifest.read(folder):
        return
    if taken := [name for name in (MODEL, manifest.MANIFEST, *_OPTIONAL) if (folder / name).exists()]:
        message = f"{folder / taken[0]} stands there, and no earlier deploy wrote it"
        raise fail(Exit.IO, Code.OUTPUT, message, hint="--output-dir names another folder")
