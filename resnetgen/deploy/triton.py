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
from resnetgen.deploy.config import CONFIG, Config, InstanceKind, Serving, configure
from resnetgen.deploy.labels_file import read_labels
from resnetgen.deploy.model import MODEL, plan_model
from resnetgen.deploy.schema_ranges import require_in_range
from resnetgen.errors import Code, FileError, UsageError
from resnetgen.formats.onnx.precision import Precision
from resnetgen.labels import LABELS
from resnetgen.manifest import FileEntry
from resnetgen.network import Network, compile_spec
from resnetgen.progress import Progress, Quiet
from resnetgen.staging.files import Staging, staging
from resnetgen.staging.folders import beside

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")


class ModelOptions(Struct, frozen=True):
    """Options of a model in a repository for Triton."""

    name: str | None = None
    """Name of the model; None for the spec's name."""
    version: int | None = None
    """Version; None for the next free one."""
    labels: Path | None = None
    serving: Serving = field(default_factory=Serving)


def deploy(spec: str, options: Options, model: ModelOptions, progress: Progress | None = None) -> Built:
    """Add a model, or a version of one, to the repository `options.output_dir`. Raises Failure.

    Both appear by renaming a finished folder; existing versions are never changed.
    """
    with staged(prepare(spec, options, model), progress or Quiet()) as ready:
        ready.publish()
        return ready.built()


class PreparedModel(Struct, frozen=True):
    """A model for a repository: compiled and checked; nothing is written yet."""

    network: Network
    options: Options
    folder: Path
    """Folder of the model: <repository>/<name>."""
    config: Config
    texts: dict[str, str]
    """config.pbtxt and labels.txt, which are shared by all versions."""
    requested: int | None
    """Requested version; None for the next free one."""

    def version(self) -> Path:
        """Return the folder of the version. Raises FileError if it may not be added."""
        if self.folder.exists() or self.folder.is_symlink():
            existing.require_compatible(self.folder, self.texts[CONFIG], self.texts.get(LABELS))
        version = self.folder / str(self.requested or existing.next_version(self.folder))
        if self.requested and version.exists():  # otherwise another deploy has just taken it, and the next one is free
            hint = "leave out --model-version for the next one that is free"
            raise FileError.of(Code.OUTPUT, f"{version} exists, and versions are never changed", hint=hint)
        return version


def prepare(spec: str, options: Options, model: ModelOptions) -> PreparedModel:
    """Compile and check a model for the repository `options.output_dir`. Raises Failure."""
    _require_consistent(options, model)
    network = compile_spec(spec, options.params, options.max_nodes, options.input_size)
    name = _require_model_name(model.name or network.spec.stem)
    labels = read_labels(model.labels, network) if model.labels else None
    config = configure(name, network, options, model.serving, LABELS if labels else None)
    texts = {CONFIG: config.render()} | ({LABELS: labels} if labels else {})
    prepared = PreparedModel(network, options, options.output_dir / name, config, texts, model.version)
    prepared.version()
    return prepared


@contextmanager
def staged(prepared: PreparedModel, progress: Progress) -> Iterator[StagedModel]:
    """Write the model into a staging folder. Raises Failure.

    The staging folder is next to the repository, since a server that polls the repository takes each folder for a
    model.
    """
    repository = prepared.options.output_dir
    with plan_model(prepared.network, prepared.options, progress) as job, staging(beside(repository)) as stage:
        job.write(stage)
        yield StagedModel(prepared, job, stage)


class StagedModel:
    """A model whose files are complete and read back, but not published yet."""

    def __init__(self, prepared: PreparedModel, job: Job, stage: Staging) -> None:
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
        self._files: dict[Path, FileEntry] = {}

    def publish(self) -> Path:
        """Publish and return the version's folder. If another deploy is faster, check the model again and take the next
        version."""
        while True:
            is_new = not self.prepared.folder.exists()
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
        folder, texts = version.parent, self.prepared.texts
        if is_new:
            inside = {file: f"{version.name}/{path}" for file, path in self._layout.items()}
            self._stage.publish_folder(inside | {file: file for file in texts}, folder)
            return texts
        self._stage.publish_folder(self._layout, version)
        changed = existing.changed_texts(folder, texts)
        for file in texts.keys() - changed.keys():
            del self._stage.outputs[file]
        self._stage.publish(folder)
        return changed

    def built(self) -> Built:
        """Return the result, after `publish`."""
        return self._job.built(self._files)


def _require_consistent(options: Options, model: ModelOptions) -> None:
    """Require options that agree with each other and are in their ranges. Raises UsageError."""
    serving = model.serving
    require_in_range(
        version=model.version,
        max_batch=serving.max_batch,
        preferred=serving.preferred,
        queue_delay=serving.queue_delay,
        instances=serving.instances,
        latest=serving.latest,
    )
    if options.batch and serving.max_batch:
        message = (
            f"--max-batch {serving.max_batch} needs a batch that can vary, and --batch fixes it at {options.batch}"
        )
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="leave out --batch, or --max-batch")
    if too_large := [size for size in serving.preferred if size > serving.max_batch]:
        message = f"a preferred batch of {too_large[0]} is above --max-batch {serving.max_batch}"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=f"--max-batch {max(too_large)} or above")
    if serving.queue_delay and serving.max_batch < 2:
        message = f"--queue-delay waits for a batch to fill, and --max-batch is {serving.max_batch}"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="--max-batch 2 or above")
    if serving.tensorrt and serving.device is not InstanceKind.GPU:
        raise UsageError.of(Code.BAD_ARGUMENT, "TensorRT runs on GPUs only", hint="add --device gpu")
    if options.precision and options.precision.target is Precision.INT8 and serving.device is InstanceKind.GPU:
        # TensorRT takes signed activations with a zero point of 0; CUDA's provider has no kernel for such products.
        message = "int8 models are for CPUs: their activations are unsigned"
        raise UsageError.of(Code.PRECISION, message, hint="--precision fp16, or --device cpu")


def _require_model_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        message = f"invalid model name for Triton: {name!r}"
        hint = "--name with letters, digits, _, - and ., 200 at most, and no - or . first"
        raise UsageError.of(Code.BAD_NAME, message, hint=hint)
    return name
