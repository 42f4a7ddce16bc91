"""The model.onnx of a deployment, planned and ready to be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnetgen.job import Job
from resnetgen.options import Compiled, Options, Progress

STEM = "model"
"""Default name of a model's file in servers."""
MODEL = f"{STEM}.onnx"


@contextmanager
def planned(compiled: Compiled, options: Options, progress: Progress) -> Iterator[Job]:
    """Plan a job; everything that can be refused is refused. Raises Failure."""
    job = Job(compiled, options, progress, STEM)
    job.begin()
    try:
        job.plan()
        yield job
    finally:
        job.close()
