"""Options of the KServe service that runs a model repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.deploy.options import in_range, options_of

if TYPE_CHECKING:
    from resnetgen.deploy.kserve.deploy import ServiceOptions

_option = options_of("kserve")

OPTIONS = (
    _option(
        "--storage-uri",
        metavar="URI",
        help="URI of the repository for the cluster: s3://bucket/folder, pvc://claim/folder.  [required]",
    ),
    _option("--service", help="Name of the service.  [default: the model's in lower case, with - for _ and .]"),
    _option("--service-account", help="Service account with the secrets of the storage.  [default: the namespace's]"),
    _option("--cpu", default="1", show_default=True, help="CPUs of each replica: 2, 500m."),
    _option(
        "--memory", help="Memory of each replica: 4Gi.  [default: 2Gi and 4 times the size of weights and batches]"
    ),
    _option("--gpus", type=in_range("gpus"), help="GPUs of each replica.  [default: 1 with --device gpu]"),
    _option(
        "--autoscaler",
        type=click.Choice(["knative", "hpa", "keda"]),
        default="knative",
        show_default=True,
        help="Autoscaler: Knative by requests in flight, Kubernetes' HPA or KEDA by the use of CPUs.",
    ),
    _option(
        "--min-replicas",
        type=in_range("min_replicas"),
        default=1,
        show_default=True,
        help="Smallest number of replicas; 0 for none without requests.",
    ),
    _option(
        "--max-replicas",
        type=in_range("max_replicas"),
        default=3,
        show_default=True,
        help="Largest number of replicas.",
    ),
    _option(
        "--scale-target",
        type=in_range("scale_target"),
        help="Requests in flight, or percent of the CPUs, per replica.  [default: instances x max-batch, or 80]",
    ),
)


def to_service_options(values: dict[str, Any]) -> ServiceOptions:
    """Return the options of the service. Raises a usage error without --storage-uri."""
    from resnetgen.deploy.kserve.deploy import ServiceOptions
    from resnetgen.deploy.kserve.service import Autoscaler

    if not values["storage_uri"]:
        raise click.UsageError("--server kserve needs --storage-uri, the URI of the repository for the cluster")
    return ServiceOptions(
        storage_uri=values["storage_uri"],
        name=values["service"],
        service_account=values["service_account"],
        cpu=values["cpu"],
        memory=values["memory"],
        gpus=values["gpus"],
        autoscaler=Autoscaler(values["autoscaler"]),
        min_replicas=values["min_replicas"],
        max_replicas=values["max_replicas"],
        scale_target=values["scale_target"],
    )
