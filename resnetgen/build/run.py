"""Build of networks: compile -> passes -> plan -> write -> read back -> publish."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from resnetgen.arguments import named_arguments, require_instance, require_list
from resnetgen.build.job import Job
from resnetgen.build.options import SAVE_OPTIONS, Built, Options, make_options
from resnetgen.errors import Code, UsageError
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
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="build them one by one")
    networks = compile_all(names, options.params, options.max_nodes, options.input_size)
    jobs = [Job(network, weights_of(network, options), options, progress or Quiet()) for network in networks]
    for job, other in ((a, b) for i, a in enumerate(jobs) for b in jobs[:i]):
        if job.folder == other.folder:
            raise UsageError.of(Code.BAD_ARGUMENT, f"two specs would be written to {job.folder}")
    return _run(jobs)


def weights_of(network: Network, options: Options) -> Weights:
    """Return the weights that the options choose. Raises Failure like `Weights.load`."""
    source, seed, init = options.pretrained, options.seed, options.init.value
    if not source:
        return Weights.random(network, seed, init)
    return Weights.load(source.path, network, source.reinit, source.allow_nonfinite, seed, init)


@named_arguments
def save(
    network: Network,
    folder: str | PathLike[str],
    targets: Sequence[str] = ("onnx",),
    weights: TracedWeights | None = None,
    *,
    fold: bool = True,
    batch: int | None = None,
    opset: int | None = None,
    runtime: str | None = None,
    external_data: bool = False,
    embed_preprocess: bool = False,
    input_name: str = "input",
    output_name: str = "output",
    dialect: str | None = None,
    precision: str = "fp32",
    calibrate: str | PathLike[str] | None = None,
    calibration_images: int | None = None,
    min_top1: float | None = None,
    min_cosine: float | None = None,
    fp16_io: bool = False,
    verify: bool = False,
    provider: str | None = None,
) -> Built:
    """Write a network into a folder: <stem>.onnx, <stem>.prototxt, ... and manifest.json, complete or not at all.

    `targets`: onnx, caffe, ir, or the names of registered formats. `weights`: None for random ones of seed 0. Raises
    UsageError, SpecError, ModelError, FileError, LimitError, VerificationError. The other options are those of
    `resnetgen build`:

    `batch`: fixed batch size; None for a dynamic one in ONNX, and 1 in Caffe.
    `dialect`: reader of the Caffe files: bvlc (None), bvlc-1.0, opencv. All others are for the ONNX model.
    `fold`: False keeps the batch norms.
    `opset`: None for 17, or for the newest that `runtime` loads, if older.
    `runtime`: server that must load the model, such as triton-24.08.
    `external_data`: True writes the weights into a file beside the model.
    `embed_preprocess`: True for a model that takes 8-bit images.
    `input_name`, `output_name`: names of its input and its output.
    `precision`: fp32, fp16, int8.
    `calibrate`: images on which a precision below fp32 is calibrated and compared: a folder, an .npy file, or "random".
    `calibration_images`: number of these images.
    `min_top1`, `min_cosine`: least agreement with fp32; None for the default of the precision.
    `fp16_io`: True for an input and an output in fp16.
    `verify`: True runs the model before it is published.
    `provider`: where it is run: cpu (None), cuda, auto.
    """
    given = locals()  # the arguments: no other name is bound yet
    chosen = make_options(targets, folder, **{name: given[name] for name in SAVE_OPTIONS})
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
