"""The model.onnx of a deployment, planned and ready to be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnetgen.build.job import Job
from resnetgen.build.options import Options, Progress
from resnetgen.network import Network

STEM = "model"
"""Default name of a model's file in servers."""
MODEL = f"{STEM}.onnx"


@contextmanager
def planned(network: Network, options: Options, progress: Progress) -> Iterator[Job]:
    """Plan a job; everything that can be refused is refused. Raises Failure."""
    job = Job(network, options, progress, STEM)
    job.begin()
    try:
        job.plan()
        yield job
    finally:
        job.close()
