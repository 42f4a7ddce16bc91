"""Model repository for Triton: <repository>/<name>/{config.pbtxt, labels.txt, <version>/model.onnx}."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from msgspec import Struct, field

from resnetgen.build.job import Job
from resnetgen.build.options import Built, Options
from resnetgen.deploy import existing
from resnetgen.deploy.config import CONFIG, Config, Device, Serving, configure
from resnetgen.deploy.labels import read_labels
from resnetgen.deploy.model import MODEL, planned
from resnetgen.deploy.ranges import require_in_range
from resnetgen.errors import Code, Exit, fail
from resnetgen.formats.onnx.precision import Precision
from resnetgen.labels import LABELS
from resnetgen.manifest import Entry
from resnetgen.network import Network, compile_spec
from resnetgen.progress import Progress, Quiet
from resnetgen.staging.files import Staging, staging
from resnetgen.staging.folders import beside

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class Wanted(Struct, frozen=True):
    """Options of a model in the repository."""

    name: str | None = None
    """Name of the model; None for the spec's."""
    version: int | None = None
    """Version; None for the next free one."""
    labels: Path | None = None
    serving: Serving = field(default_factory=Serving)


def deploy(word: str, options: Options, wanted: Wanted, progress: Progress | None = None) -> Built:
    """Add a model, or a version of one, to the repository `options.output_dir`. Raises Failure.

    Both appear by renaming a finished folder; existing versions are never changed.
    """
    with staged(prepare(word, options, wanted), progress or Quiet()) as model:
        model.publish()
        return model.built()


class Prepared(Struct, frozen=True):
    """A model for a repository: network and checked; nothing is written yet."""

    network: Network
    options: Options
    place: Path
    """Folder of the model: <repository>/<name>."""
    config: Config
    texts: dict[str, str]
    """config.pbtxt and labels.txt, which are shared by all versions."""
    wanted: int | None
    """Version; None for the next free one."""

    def version(self) -> Path:
        """Return the folder of the version. Raises Failure (exit 5) if it may not be added."""
        if self.place.exists() or self.place.is_symlink():
            existing.require_compatible(self.place, self.texts[CONFIG], self.texts.get(LABELS))
        version = self.place / str(self.wanted or existing.next_version(self.place))
        if self.wanted and version.exists():  # otherwise another deploy has just taken it, and the next one is free
            hint = "leave out --model-version for the next one that is free"
            raise fail(Exit.IO, Code.OUTPUT, f"{version} stands there, and a version is never changed", hint=hint)
        return version


def prepare(word: str, options: Options, wanted: Wanted) -> Prepared:
    """Compile and check a model for the repository `options.output_dir`. Raises Failure."""
    _refuse(options, wanted)
    network = compile_spec(word, options.params, options.max_nodes, options.input_size)
    name = _checked(wanted.name or network.spec.stem)
    labels = read_labels(wanted.labels, network) if wanted.labels else None
    config = configure(name, network, options, wanted.serving, LABELS if labels else None)
    texts = {CONFIG: config.render()} | ({LABELS: labels} if labels else {})
    prepared = Prepared(network, options, options.output_dir / name, config, texts, wanted.version)
    prepared.version()
    return prepared


@contextmanager
def staged(prepared: Prepared, progress: Progress) -> Iterator[Staged]:
    """Write the model into a staging folder. Raises Failure.

    The staging folder is next to the repository, since a server that polls the repository takes each folder for a
    model.
    """
    repository = prepared.options.output_dir
    with planned(prepared.network, prepared.options, progress) as job, staging(beside(repository)) as stage:
        job.write(stage)
        yield Staged(prepared, job, stage)


class Staged:
    """A model that is complete and checked, but not in its place yet."""

    def __init__(self, prepared: Prepared, job: Job, stage: Staging) -> None:
        self.prepared, self._job, self._stage = prepared, job, stage
        # Triton expects a model with external data to be a folder.
        inner = f"{MODEL}/" if len(stage.outputs) > 1 else ""
        self._layout = {file: f"{inner}{file}" for file in stage.outputs}
        self.bytes = sum(output.size for output in stage.outputs.values())
        """Total size in bytes of the model's files."""
        for file, text in prepared.texts.items():
            stage.write_text(file, text)
        self._entries = job.entries(stage)
        self.sha256 = sha256("\n".join(entry.sha256 for entry in self._entries.values()).encode()).hexdigest()
        """SHA-256 of all files to be published."""
        self._files: dict[Path, Entry] = {}

    def publish(self) -> Path:
        """Publish and return the version's folder. If another deploy is faster, check the model again and take the next
        version."""
        while True:
            is_new = not self.prepared.place.exists()
            version = self.prepared.version()
            try:
                texts = self._move(version, is_new)
            except FileExistsError:
                continue
            self._files = {version / path: self._entries[file] for file, path in self._layout.items()}
            self._files |= {version.parent / file: self._entries[file] for file in texts}
            return version

    def _move(self, version: Path, is_new: bool) -> Iterable[str]:
        """Move the files and return the names of the texts that were written. Raises FileExistsError before anything is
        changed."""
        place, texts = version.parent, self.prepared.texts
        if is_new:
            inside = {file: f"{version.name}/{path}" for file, path in self._layout.items()}
            self._stage.publish_folder(inside | {file: file for file in texts}, place)
            return texts
        self._stage.publish_folder(self._layout, version)
        changed = existing.changed(place, texts)
        for file in texts.keys() - changed.keys():
            del self._stage.outputs[file]
        self._stage.publish(place)
        return changed

    def built(self) -> Built:
        """Return the result, after `publish`."""
        return self._job.built(self._files)


def _refuse(options: Options, wanted: Wanted) -> None:
    """Raise Failure (exit 2) for options that contradict each other or are out of range, before anything is
    network."""
    serving = wanted.serving
    require_in_range(
        version=wanted.version,
        max_batch=serving.max_batch,
        preferred=serving.preferred,
        queue_delay=serving.queue_delay,
        instances=serving.instances,
        latest=serving.latest,
    )
    if options.batch and serving.max_batch:
        message = f"a batch fixed at {options.batch} leaves nothing to batch up to {serving.max_batch}"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint="leave out --batch, or --max-batch")
    if too_large := [size for size in serving.preferred if size > serving.max_batch]:
        message = f"a preferred batch of {too_large[0]} is above --max-batch {serving.max_batch}"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint=f"--max-batch {max(too_large)} or above")
    if serving.queue_delay and serving.max_batch < 2:
        message = f"--queue-delay waits for a batch to fill, and --max-batch is {serving.max_batch}"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint="--max-batch 2 or above")
    if serving.tensorrt and serving.device is not Device.GPU:
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, "TensorRT runs on a GPU alone", hint="add --device gpu")
    if options.precision and options.precision.target is Precision.INT8 and serving.device is Device.GPU:
        # TensorRT takes signed activations with a zero point of 0; CUDA's provider has no kernel for such products.
        message = "int8 is written for CPUs: activations of eight bits without a sign"
        raise fail(Exit.USAGE, Code.PRECISION, message, hint="--precision fp16, or --device cpu")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        message = f"Triton takes no model called {name!r}"
        hint = "--name with letters, digits, _, - and ., 200 at most, and no - or . first"
        raise fail(Exit.USAGE, Code.BAD_NAME, message, hint=hint)
    return name
