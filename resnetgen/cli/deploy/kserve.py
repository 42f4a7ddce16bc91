"""Options of the service that runs a model repository on KServe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.deploy.options import in_range, options_of

if TYPE_CHECKING:
    from resnetgen.deploy.kserve.deploy import Wanted

_option = options_of("kserve")

OPTIONS = (
    _option(
        "--storage-uri",
        metavar="URI",
        help="Where the cluster is to find the repository: s3://bucket/folder, pvc://claim/folder.  [required]",
    ),
    _option("--service", help="Its name in Kubernetes.  [default: the model's, in lower case, with - for _ and .]"),
    _option("--service-account", help="Whose secrets open the storage.  [default: the namespace's own]"),
    _option("--cpu", default="1", show_default=True, help="CPUs of each replica: 2, 500m."),
    _option("--memory", help="Of each replica: 4Gi.  [default: 2Gi and 4 times what weights and batches take]"),
    _option("--gpus", type=in_range("gpus"), help="GPUs of each replica.  [default: 1 with --device gpu]"),
    _option(
        "--autoscaler",
        type=click.Choice(["knative", "hpa", "keda"]),
        default="knative",
        show_default=True,
        help="Who adds replicas: Knative, by requests in flight; Kubernetes' own or KEDA, by the use of CPUs.",
    ),
    _option("--min-replicas", type=in_range("least"), default=1, show_default=True, help="0: none without requests."),
    _option("--max-replicas", type=in_range("most"), default=3, show_default=True),
    _option(
        "--scale-target",
        type=in_range("target"),
        help="Requests in flight, or percent of the CPUs, of each replica.  [default: instances x max-batch, or 80]",
    ),
)


def to_wanted(given: dict[str, Any]) -> Wanted:
    """Return the options of the service. Raises a usage error without --storage-uri."""
    from resnetgen.deploy.kserve.deploy import Wanted
    from resnetgen.deploy.kserve.service import Autoscaler

    if not given["storage_uri"]:
        raise click.UsageError("--server kserve needs --storage-uri, where the cluster is to find the repository")
    return Wanted(
        storage_uri=given["storage_uri"],
        name=given["service"],
        service_account=given["service_account"],
        cpu=given["cpu"],
        memory=given["memory"],
        gpus=given["gpus"],
        autoscaler=Autoscaler(given["autoscaler"]),
        least=given["min_replicas"],
        most=given["max_replicas"],
        target=given["scale_target"],
    )
