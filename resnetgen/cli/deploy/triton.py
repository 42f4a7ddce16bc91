"""Options of a model repository for Triton, which KServe runs as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from resnetgen.cli.deploy.options import in_range, options_of

if TYPE_CHECKING:
    from resnetgen.deploy.triton import ModelOptions

_option = options_of("triton", "kserve")

OPTIONS = (
    _option("--name", help="Name of the model in the repository.  [default: the spec's name]"),
    _option("--model-version", type=in_range("version"), help="Version of the model.  [default: the next free one]"),
    _option(
        "--max-batch",
        type=in_range("max_batch"),
        default=0,
        show_default=True,
        help="Largest batch that Triton forms from requests; 0 for no batching.",
    ),
    _option(
        "--preferred-batch",
        "preferred",
        type=in_range("preferred"),
        multiple=True,
        help="Batch size that does not wait for more requests; may be repeated.",
    ),
    _option(
        "--queue-delay",
        type=in_range("queue_delay"),
        default=0,
        show_default=True,
        metavar="MICROSECONDS",
        help="Time that a request may wait for others to fill a batch.",
    ),
    _option(
        "--instances",
        type=in_range("instances"),
        default=1,
        show_default=True,
        help="Number of batches that run at the same time.",
    ),
    _option("--device", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True, help="Processor."),
    _option("--tensorrt", type=click.Choice(["fp16", "fp32"]), help="Run the model by TensorRT, in this precision."),
    _option(
        "--latest",
        type=in_range("latest"),
        default=1,
        show_default=True,
        help="Number of versions that are served, the newest first.",
    ),
)


def to_model_options(values: dict[str, Any]) -> ModelOptions:
    """Return the options of the model in the repository."""
    from resnetgen.deploy.config import InstanceKind, Serving, TensorRTPrecision
    from resnetgen.deploy.triton import ModelOptions

    return ModelOptions(
        values["name"],
        values["model_version"],
        values["labels"],
        Serving(
            max_batch=values["max_batch"],
            preferred=tuple(sorted(set(values["preferred"]))),
            queue_delay=values["queue_delay"],
            instances=values["instances"],
            device=InstanceKind(values["device"]),
            tensorrt=TensorRTPrecision(values["tensorrt"]) if values["tensorrt"] else None,
            latest=values["latest"],
        ),
    )
