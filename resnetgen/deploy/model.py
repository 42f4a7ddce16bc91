"""The model.onnx of a deployment, planned and ready to be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnetgen.build.job import Job
from resnetgen.build.options import Options
from resnetgen.build.run import weights_of
from resnetgen.network import Network
from resnetgen.progress import Progress

STEM = "model"
"""Default name of a model's file in servers."""
MODEL = f"{STEM}.onnx"


@contextmanager
def plan_model(network: Network, options: Options, progress: Progress) -> Iterator[Job]:
    """Plan a job; everything that can be refused is refused. Raises Failure."""
    job = Job(network, weights_of(network, options), options, progress, STEM)
    job.begin()
    try:
        job.plan()
        yield job
    finally:
        job.close()
