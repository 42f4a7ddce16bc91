"""A spec as model.onnx, planned and ready to be written into whatever a server wants around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from resnetgen.job import Job
from resnetgen.options import Compiled, Options, Progress

STEM = "model"
"""What servers call a model's file unless they are told otherwise."""
MODEL = f"{STEM}.onnx"


@contextmanager
def planned(compiled: Compiled, options: Options, progress: Progress) -> Iterator[Job]:
    """A job that has refused all that can be refused. Raises Failure."""
    job = Job(compiled, options, progress, STEM)
    job.begin()
    try:
        job.plan()
        yield job
    finally:
        job.close()
