"""Build of networks: compile -> passes -> plan -> write -> read back -> publish."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

from resnetgen.arguments import require_instance, require_list
from resnetgen.build.job import Job
from resnetgen.build.options import SAVE_ARGUMENTS, Built, Options, make_options
from resnetgen.errors import Code, Exit, fail
from resnetgen.network import Network, compile_all
from resnetgen.pretrained.weights import Weights
from resnetgen.progress import Progress, Quiet
from resnetgen.weights.traced import TracedWeights


def build(specs: Sequence[str], options: Options | None = None, progress: Progress | None = None) -> list[Built]:
    """Compile specs, each a bundled name or a path, and write the files of every format.

    Everything that can be refused is refused before the first byte is written; the written files are read back and
    compared with the graph before they appear under their names. Raises Failure.
    """
    options, names = options or Options(), require_list(specs, "specs")
    if options.pretrained and len(names) > 1:
        message = "a checkpoint belongs to one network, and there are several specs"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, message, hint="build them one by one")
    networks = compile_all(names, options.params, options.max_nodes, options.input_size)
    jobs = [Job(network, weights_of(network, options), options, progress or Quiet()) for network in networks]
    for job, other in ((a, b) for i, a in enumerate(jobs) for b in jobs[:i]):
        if job.folder == other.folder:
            raise fail(Exit.USAGE, Code.BAD_ARGUMENT, f"two specs would be written to {job.folder}")
    return _run(jobs)


def weights_of(network: Network, options: Options) -> Weights:
    """Return the weights that the options choose. Raises Failure like `Weights.load`."""
    source, seed, init = options.pretrained, options.seed, options.init.value
    if not source:
        return Weights.random(network, seed, init)
    return Weights.load(source.path, network, source.reinit, source.allow_nonfinite, seed, init)


def save(
    network: Network,
    folder: str | PathLike[str],
    targets: Sequence[str] = ("onnx",),
    weights: TracedWeights | None = None,
    **options: Any,
) -> Built:
    """Write a network into a folder: <stem>.onnx, <stem>.prototxt, ... and manifest.json.

    `targets`: onnx, caffe, ir, or the names of registered formats. `weights`: None for drawn ones of seed 0. Options:
    weights=... of `build` on the command line, with _ for -: fold, batch, opset, runtime, external_data,
    embed_preprocess, input_name, output_name, dialect, precision, calibrate, calibration_images, min_top1, min_cosine,
    fp16_io, verify, provider. Files appear complete or not at all. Raises UsageError, SpecError, ModelError, FileError,
    LimitError, VerificationError.
    """
    chosen = make_options(targets, folder, SAVE_ARGUMENTS, **options)
    require_instance(network, Network, "network")
    used = Weights.random(network) if weights is None else weights
    (built,) = _run([Job(network, used, chosen, Quiet(), folder=chosen.output_dir)])
    return built


def _run(jobs: list[Job]) -> list[Built]:
    jobs[0].begin()
    try:
        for job in jobs:
            job.plan()
        return [job.run() for job in jobs]
    finally:
        jobs[0].close()
