"""Folder for KServe: repository/, to be copied to the cluster's storage, and inferenceservice.yaml, which serves it."""

from __future__ import annotations

from math import ceil, prod

from msgspec import Struct
from msgspec.structs import replace

from resnetgen.build.options import Built, Options
from resnetgen.deploy import triton
from resnetgen.deploy.config import Device, Serving
from resnetgen.deploy.kserve.existing import require_same_service
from resnetgen.deploy.kserve.service import (
    SERVICE,
    Autoscaler,
    Scaling,
    Service,
    quantity,
    runtime_version,
    service_account,
    service_name,
)
from resnetgen.deploy.kserve.storage import storage_uri
from resnetgen.deploy.ranges import RANGES, require_in_range
from resnetgen.errors import Code, Exit, Failure, fail
from resnetgen.manifest import Entry
from resnetgen.progress import Progress, Quiet
from resnetgen.staging.files import staging

REPOSITORY = "repository"
_GIB = 1 << 30
_CPU_PERCENT = 80
"""Default of KServe."""


class Wanted(Struct, frozen=True):
    """Options of the service, besides those of its models."""

    storage_uri: str
    """URI at which the cluster finds the contents of repository/."""
    name: str | None = None
    """Name of the service; None for the model's name, adapted to Kubernetes."""
    service_account: str | None = None
    """Service account with the secrets of the storage; None for the default of the namespace."""
    cpu: str = "1"
    memory: str | None = None
    """Memory of a replica; None for the estimate of `memory`."""
    gpus: int | None = None
    """Number of GPUs; None for one if the model runs on a GPU."""
    autoscaler: Autoscaler = Autoscaler.KNATIVE
    least: int = 1
    most: int = 3
    """Largest number of replicas."""
    target: int | None = None
    """Load per replica; None for the images that a replica computes at once, or 80 percent of its CPUs."""


def deploy(
    word: str, options: Options, model: triton.Wanted, wanted: Wanted, progress: Progress | None = None
) -> Built:
    """Add a model, or a version of one, to the folder `options.output_dir`, and write the manifest that serves it.

    The manifest is replaced after the repository is complete; if that fails, the version is removed. Raises Failure.
    """
    _refuse(wanted, model.serving)
    folder = options.output_dir
    prepared = triton.prepare(word, replace(options, output_dir=folder / REPOSITORY), model)
    scaling = Scaling(wanted.autoscaler, wanted.least, wanted.most, _target(wanted, model.serving))
    name = service_name(wanted.name, prepared.config.name)
    require_same_service(folder / SERVICE, name)
    with triton.staged(prepared, progress or Quiet()) as ready, staging(folder) as stage:
        service = _service(name, prepared, wanted, scaling, ready)
        stage.write_text(SERVICE, service.render())
        output = stage.outputs[SERVICE]
        ready.publish()
        stage.publish()
        entry = Entry(output.size, output.sha256, prepared.network.digest, {})
        built = ready.built()
    return replace(built, files=built.files | {folder / SERVICE: entry})


def memory(prepared: triton.Prepared, size: int) -> str:
    """Return the memory of a replica in whole GiB.

    It is 2 GiB, KServe's default for Triton, and for each instance 4 times the model's files (of `size` bytes) and 4
    times the largest tensor of its largest batch. Measured with ONNX Runtime on ResNet-18 and -50: 2.7 and 3.6 times
    the file while it is loaded, 1.4 and 2.1 times the largest tensor for each image.
    """
    serving, shapes = prepared.config.serving, prepared.network.graph.shapes
    batch = serving.max_batch or prepared.options.batch or 1
    tensors = batch * 4 * max(prod(shape) for shape in shapes.values())
    return f"{2 + ceil(serving.instances * 4 * (size * serving.latest + tensors) / _GIB)}Gi"


def _service(name: str, prepared: triton.Prepared, wanted: Wanted, scaling: Scaling, ready: triton.Staged) -> Service:
    serving = prepared.config.serving
    resources = {"cpu": wanted.cpu, "memory": wanted.memory or _countable(memory(prepared, ready.bytes))}
    if serving.device is Device.GPU:
        resources["nvidia.com/gpu"] = str(wanted.gpus or 1)
    model = f"{prepared.config.name}@sha256:{ready.sha256}"
    version = runtime_version(prepared.options.runtime)
    return Service(name, wanted.storage_uri, model, version, wanted.service_account, scaling, resources)


def _target(wanted: Wanted, serving: Serving) -> int:
    """Return the load of a replica above which another one is started. Raises Failure (exit 2) if it is too large."""
    if wanted.target or wanted.autoscaler is not Autoscaler.KNATIVE:
        return wanted.target or _CPU_PERCENT
    at_once = serving.instances * max(1, serving.max_batch)
    if at_once > RANGES["target"].largest:
        message = (
            f"--instances {serving.instances} times --max-batch {serving.max_batch} is too large a target: it becomes "
            f"{RANGES['target'].field}"
        )
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint=f"--scale-target {RANGES['target'].largest} or below")
    return at_once


def _countable(computed: str) -> str:
    """Return the computed memory. Raises Failure (exit 2) if Kubernetes cannot represent it."""
    try:
        return quantity("--memory", computed)
    except Failure:
        message = f"a replica would take {computed} of memory, more than Kubernetes can count"
        hint = "--max-batch and --instances below, or --memory"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint=hint) from None


def _refuse(wanted: Wanted, serving: Serving) -> None:
    """Raise Failure (exit 2) for options that contradict each other or are out of range, before anything is
    network."""
    require_in_range(gpus=wanted.gpus, least=wanted.least, most=wanted.most, target=wanted.target)
    storage_uri(wanted.storage_uri)
    if wanted.service_account:
        service_account(wanted.service_account)
    quantity("--cpu", wanted.cpu)
    if wanted.memory:
        quantity("--memory", wanted.memory)
    by_requests = wanted.autoscaler is Autoscaler.KNATIVE
    refusals = (
        (
            wanted.least > wanted.most,
            f"--min-replicas {wanted.least} is above --max-replicas {wanted.most}",
            f"--max-replicas {wanted.least} or above",
        ),
        (
            wanted.least == 0 and not by_requests,
            f"{wanted.autoscaler} never goes down to no replica",
            "--min-replicas 1, or --autoscaler knative",
        ),
        (
            not by_requests and (wanted.target or 0) > 100,
            f"--scale-target {wanted.target} is a percentage of the CPUs",
            "100 at most",
        ),
        (
            bool(wanted.gpus) and serving.device is not Device.GPU,
            "--gpus asks for what the model would not use",
            "add --device gpu",
        ),
    )
    for applies, message, hint in refusals:
        if applies:
            raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint=hint)
