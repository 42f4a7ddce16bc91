"""Options of a model repository for Triton, whether run by itself or by KServe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.deploy.options import in_range, options_of

if TYPE_CHECKING:
    from resnetgen.deploy.triton import Wanted

_option = options_of("triton", "kserve")

OPTIONS = (
    _option("--name", help="Of the model in the repository.  [default: the spec's]"),
    _option("--model-version", type=in_range("version"), help="[default: the next one that is free]"),
    _option(
        "--max-batch",
        type=in_range("max_batch"),
        default=0,
        show_default=True,
        help="The most images that Triton puts into one batch; 0: it batches nothing.",
    ),
    _option(
        "--preferred-batch",
        "preferred",
        type=in_range("preferred"),
        multiple=True,
        help="A size that need not wait for more.",
    ),
    _option(
        "--queue-delay",
        type=in_range("queue_delay"),
        default=0,
        show_default=True,
        metavar="MICROSECONDS",
        help="How long a request may wait for others to fill a batch.",
    ),
    _option("--instances", type=in_range("instances"), default=1, show_default=True, help="Batches at once."),
    _option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True),
    _option("--tensorrt", type=click.Choice(["fp16", "fp32"]), help="Let TensorRT run it, in this precision."),
    _option(
        "--latest",
        type=in_range("latest"),
        default=1,
        show_default=True,
        help="How many versions are served at a time, from the newest on.",
    ),
)


def to_wanted(given: dict[str, Any]) -> Wanted:
    """Return the options of the model in the repository."""
    from resnetgen.deploy.config import Device, Precision, Serving
    from resnetgen.deploy.triton import Wanted

    return Wanted(
        given["name"],
        given["model_version"],
        given["labels"],
        Serving(
            max_batch=given["max_batch"],
            preferred=tuple(sorted(set(given["preferred"]))),
            queue_delay=given["queue_delay"],
            instances=given["instances"],
            device=Device(given["device"]),
            tensorrt=Precision(given["tensorrt"]) if given["tensorrt"] else None,
            latest=given["latest"],
        ),
    )
