"""Folder for KServe: repository/, to be copied to the cluster's storage, and inferenceservice.yaml, which serves it."""

from __future__ import annotations

from math import ceil, prod

from msgspec import Struct
from msgspec.structs import replace

from resnetgen.build.options import Built, Options
from resnetgen.deploy import triton
from resnetgen.deploy.config import InstanceKind, Serving
from resnetgen.deploy.kserve.replaced import require_same_service
from resnetgen.deploy.kserve.service import (
    SERVICE,
    Autoscaler,
    Scaling,
    Service,
    choose_service_name,
    require_quantity,
    require_service_account,
    runtime_version,
)
from resnetgen.deploy.kserve.storage import require_storage_uri
from resnetgen.deploy.schema_ranges import RANGES, require_in_range
from resnetgen.errors import Code, Failure, UsageError
from resnetgen.manifest import FileEntry
from resnetgen.progress import Progress, Quiet
from resnetgen.staging.files import staging

REPOSITORY = "repository"
_GIB = 1 << 30
_CPU_PERCENT = 80
"""Default of KServe."""


class ServiceOptions(Struct, frozen=True):
    """Options of the service, besides those of its models."""

    storage_uri: str
    """URI at which the cluster finds the contents of repository/."""
    name: str | None = None
    """Name of the service; None for the model's name, adapted to Kubernetes."""
    service_account: str | None = None
    """Service account with the secrets of the storage; None for the default of the namespace."""
    cpu: str = "1"
    memory: str | None = None
    """Memory of a replica; None for the estimate of `estimate_memory`."""
    gpus: int | None = None
    """Number of GPUs; None for one if the model runs on a GPU."""
    autoscaler: Autoscaler = Autoscaler.KNATIVE
    min_replicas: int = 1
    max_replicas: int = 3
    """Largest number of replicas."""
    scale_target: int | None = None
    """Load per replica; None for the images that a replica computes at once, or 80 percent of its CPUs."""


def deploy(
    spec: str,
    options: Options,
    model: triton.ModelOptions,
    service: ServiceOptions,
    progress: Progress | None = None,
) -> Built:
    """Add a model, or a version of one, to the folder `options.output_dir`, and write the manifest that serves it.

    The manifest is replaced after the repository is complete; if that fails, the version is removed. Raises Failure.
    """
    _require_consistent(service, model.serving)
    folder = options.output_dir
    prepared = triton.prepare(spec, replace(options, output_dir=folder / REPOSITORY), model)
    target = _scale_target(service, model.serving)
    scaling = Scaling(service.autoscaler, service.min_replicas, service.max_replicas, target)
    name = choose_service_name(service.name, prepared.config.name)
    require_same_service(folder / SERVICE, name)
    with triton.staged(prepared, progress or Quiet()) as ready, staging(folder) as stage:
        stage.write_text(SERVICE, _configure(name, service, scaling, ready).render())
        output = stage.outputs[SERVICE]
        ready.publish()
        stage.publish()
        entry = FileEntry(output.size, output.sha256, prepared.network.digest, {})
        built = ready.built()
    return replace(built, files=built.files | {folder / SERVICE: entry})


def estimate_memory(prepared: triton.PreparedModel, size: int) -> str:
    """Return the memory of a replica in whole GiB.

    It is 2 GiB, KServe's default for Triton, and for each instance 4 times the model's files (of `size` bytes) and 4
    times the largest tensor of its largest batch. Measured with ONNX Runtime on ResNet-18 and -50: 2.7 and 3.6 times
    the file while it is loaded, 1.4 and 2.1 times the largest tensor for each image.
    """
    serving, shapes = prepared.config.serving, prepared.network.graph.shapes
    batch = serving.max_batch or prepared.options.batch or 1
    tensors = batch * 4 * max(prod(shape) for shape in shapes.values())
    return f"{2 + ceil(serving.instances * 4 * (size * serving.latest + tensors) / _GIB)}Gi"


def _configure(name: str, options: ServiceOptions, scaling: Scaling, ready: triton.StagedModel) -> Service:
    """Return the service of a staged model. Raises UsageError if it needs too much memory."""
    prepared = ready.prepared
    memory = options.memory or _require_representable(estimate_memory(prepared, ready.bytes))
    resources = {"cpu": options.cpu, "memory": memory}
    if prepared.config.serving.device is InstanceKind.GPU:
        resources["nvidia.com/gpu"] = str(options.gpus or 1)
    model = f"{prepared.config.name}@sha256:{ready.sha256}"
    version = runtime_version(prepared.options.runtime)
    return Service(name, options.storage_uri, model, version, options.service_account, scaling, resources)


def _scale_target(service: ServiceOptions, serving: Serving) -> int:
    """Return the load of a replica above which another one is started. Raises UsageError if it is too large."""
    if service.scale_target or service.autoscaler is not Autoscaler.KNATIVE:
        return service.scale_target or _CPU_PERCENT
    at_once = serving.instances * max(1, serving.max_batch)
    if at_once > RANGES["scale_target"].largest:
        message = (
            f"--instances {serving.instances} times --max-batch {serving.max_batch} is too large a target: it becomes "
            f"{RANGES['scale_target'].field}"
        )
        raise UsageError.of(
            Code.BAD_ARGUMENT, message, hint=f"--scale-target {RANGES['scale_target'].largest} or below"
        )
    return at_once


def _require_representable(computed: str) -> str:
    """Return the computed memory. Raises UsageError if Kubernetes cannot represent it."""
    try:
        return require_quantity("--memory", computed)
    except Failure:
        message = f"a replica would need {computed} of memory, more than Kubernetes can represent"
        hint = "a smaller --max-batch or --instances, or --memory"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint) from None


def _require_consistent(service: ServiceOptions, serving: Serving) -> None:
    """Require options that agree with each other and are in their ranges. Raises UsageError."""
    require_in_range(
        gpus=service.gpus,
        min_replicas=service.min_replicas,
        max_replicas=service.max_replicas,
        scale_target=service.scale_target,
    )
    require_storage_uri(service.storage_uri)
    if service.service_account:
        require_service_account(service.service_account)
    require_quantity("--cpu", service.cpu)
    if service.memory:
        require_quantity("--memory", service.memory)
    by_requests = service.autoscaler is Autoscaler.KNATIVE
    refusals = (
        (
            service.min_replicas > service.max_replicas,
            f"--min-replicas {service.min_replicas} is above --max-replicas {service.max_replicas}",
            f"--max-replicas {service.min_replicas} or above",
        ),
        (
            service.min_replicas == 0 and not by_requests,
            f"{service.autoscaler} cannot scale to zero replicas",
            "--min-replicas 1, or --autoscaler knative",
        ),
        (
            not by_requests and (service.scale_target or 0) > 100,
            f"--scale-target {service.scale_target} is a percentage of the CPUs",
            "100 at most",
        ),
        (
            bool(service.gpus) and serving.device is not InstanceKind.GPU,
            "--gpus needs a model that runs on a GPU",
            "add --device gpu",
        ),
    )
    for applies, message, hint in refusals:
        if applies:
            raise UsageError.of(Code.BAD_ARGUMENT, message, hint=hint)
