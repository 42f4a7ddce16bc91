"""Build of one spec's files: passes -> plan -> write -> read back -> publish."""

from resnetgen.job.accept import accept
from resnetgen.job.job import Job

__all__ = ["Job", "accept"]
