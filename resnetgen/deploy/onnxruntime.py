"""Folder for ONNX Runtime: model.onnx, labels.txt, preprocess.json and manifest.json, as `predict` reads them."""

from __future__ import annotations

import json
from pathlib import Path

from msgspec.structs import replace

from resnetgen import manifest
from resnetgen.build.options import Built, Options
from resnetgen.deploy.labels_file import read_labels
from resnetgen.deploy.model import MODEL, plan_model
from resnetgen.errors import Code, FileError
from resnetgen.labels import LABELS
from resnetgen.network import compile_spec
from resnetgen.paths import real_path
from resnetgen.predict.folder import PREPROCESS
from resnetgen.progress import Progress, Quiet
from resnetgen.staging.files import Staging, staging
from resnetgen.staging.folders import beside

_OPTIONAL = (LABELS, PREPROCESS, f"{MODEL}.data")
"""Files that the next model of a folder may not have; old ones are then removed."""
_HINT = "--output-dir names a new folder, which may be inside this one"


def deploy(spec: str, options: Options, labels: Path | None = None, progress: Progress | None = None) -> Built:
    """Write the folder `options.output_dir`, or replace the files of an earlier deploy in it. Raises Failure."""
    folder = options.output_dir
    _require_available(folder)
    network = compile_spec(spec, options.params, options.max_nodes, options.input_size)
    texts = {LABELS: read_labels(labels, network)} if labels else {}
    if preprocess := network.spec.preprocess:
        document = json.loads(preprocess.to_json()) | {"embedded": options.embed_preprocess}
        texts[PREPROCESS] = json.dumps(document) + "\n"
    with plan_model(network, options, progress or Quiet()) as job, staging(beside(folder)) as stage:
        job.write(stage)
        for name, text in texts.items():
            stage.write_text(name, text)
        entries = job.entries(stage)
        stage.write_text(manifest.MANIFEST, manifest.text(network.spec, entries))
        _publish(stage, folder)
    built = job.built({folder / name: entry for name, entry in entries.items()})
    if preprocess:
        return built
    warning = f"{network.spec.title} has no preprocessing: images are used unchanged"
    return replace(built, warnings=(*built.warnings, warning))


def _publish(stage: Staging, folder: Path) -> None:
    """Publish the files: by one rename into a new or empty folder, one by one in place of an earlier deploy's."""
    if MODEL not in manifest.read(folder):
        try:
            return stage.publish_folder({name: name for name in stage.outputs}, real_path(folder))
        except FileExistsError:  # another deploy was faster
            _require_available(folder)
    stage.publish(folder, without=set(_OPTIONAL) - stage.outputs.keys())
    return None


def _require_available(folder: Path) -> None:
    """Require a folder that is missing, empty, or written by an earlier deploy. Raises FileError.

    A folder with other files is refused because files can only be added to it one by one: a server that reads the
    folder meanwhile would load a model without its labels.
    """
    if MODEL in manifest.read(folder):
        return
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileError.of(Code.OUTPUT, f"cannot write {folder}: {error.strerror}", hint=_HINT) from None
    if names:
        message = f"{folder / names[0]} exists, and no earlier deploy wrote it"
    elif real_path(folder) == real_path(Path()):
        message = f"{folder} is the current folder, which cannot be replaced by a finished one"
    elif beside(folder) == folder:
        message = f"{folder} cannot be replaced by a finished folder: its parent folder is read-only or on another disk"
    else:
        return
    raise FileError.of(Code.OUTPUT, message, hint=_HINT)
