"""Build of specs: compile -> passes -> plan -> write -> read back -> publish."""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.build.job import Job
from resnetgen.build.options import Built, Options, Progress, Quiet, Target
from resnetgen.errors import Code, Exit, fail
from resnetgen.network import compile_all


def build(specs: Sequence[str], options: Options, progress: Progress | None = None) -> list[Built]:
    """Compile specs and write the files of every target.

    Everything that can be refused is refused before the first byte is written; the written files are read back and
    compared with the graph before they appear under their names. Raises Failure.
    """
    if options.verify and Target.ONNX not in options.targets:
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, "there is no ONNX model to verify", hint="add --target onnx")
    if Target.ONNX in options.targets and not options.weights:
        hint = "leave out --no-weights, or --target onnx"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, "an ONNX model holds its weights; none is written without", hint=hint)
    networks = compile_all(specs, options.params, options.max_nodes, options.input_size)
    jobs = [Job(network, options, progress or Quiet()) for network in networks]
    for job, other in ((a, b) for i, a in enumerate(jobs) for b in jobs[:i]):
        if job.folder == other.folder:
            raise fail(Exit.USAGE, Code.BAD_ARGUMENT, f"two specs would be written to {job.folder}")
    jobs[0].begin()
    try:
        for job in jobs:
            job.plan()
        return [job.run() for job in jobs]
    finally:
        jobs[0].close()
