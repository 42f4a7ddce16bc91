"""Verification of built files: they are run and compared with the network of their spec, as it was at the build."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path

from msgspec import Struct, field

from resnetgen.arguments import named_arguments, require_instance, require_list, require_path
from resnetgen.errors import Code, Failure, UsageError, VerificationError
from resnetgen.formats.onnx.precision import Precision
from resnetgen.network import Network, compile_spec
from resnetgen.pretrained.pretrained import CheckpointSource, load_pretrained
from resnetgen.spec.find import bundled
from resnetgen.verification import REFERENCE, Expected, Report, Settings, Target, compare_backends, open_backend, origin
from resnetgen.verification.compare_backends import Progress
from resnetgen.verification.origin import Origin, WeightOrigin
from resnetgen.weights.initialise import Initialised
from resnetgen.weights.source import Array, WeightSource
from resnetgen.weights.traced import TracedWeights


class Verified(Struct, frozen=True):
    """Files to be verified, and the backends to compare."""

    model: str
    """A spec whose files are below `output_dir`, or the path of a model or a prototxt."""
    backends: tuple[str, ...] = ()
    """Backends, in the syntax of verification.words; the others are compared with the first. A single one is compared
    with the reference: the spec's network, unfolded, computed by the formulas of its ops."""
    against: str | None = None
    """Another backend to compare them with; None for none."""
    output_dir: Path = Path("generated")
    params: dict[str, int | float] = field(default_factory=dict)
    checkpoint: Path | None = None
    """Checkpoint that the files were built from, if they were."""
    save: Path | None = None
    """File for the outputs of the first backend; None for none."""
    network: Network | None = None
    """Network that the files should be; None for that of their metadata."""
    weights: WeightSource | None = None
    """Weights that the files should have; None for those of their metadata."""


@named_arguments
def verify(
    model: str | PathLike[str],
    network: Network | None = None,
    backends: Sequence[str] = (),
    weights: WeightSource | None = None,
    *,
    provider: str = "cpu",
    batches: Sequence[int] = (),
    seed: int = 0,
    images: int | None = None,
    data: Sequence[str | PathLike[str]] = (),
    tolerance: float | None = None,
    tolerances: Mapping[str, float] | None = None,
    provider_options: Mapping[str, str] | None = None,
) -> Report:
    """Run a model on engines, and compare what they compute, tensor by tensor.

    `model`: path of an ONNX model or a prototxt, or a spec whose files are below generated/. `network`: the network
    that it should be; by default that of the bundled spec in its metadata. `backends`: onnxruntime, onnxruntime:cuda,
    opencv, reference, or paths of models; the others are compared with the first, and a single one with the reference.
    `weights`: those that the model should have; by default drawn as its metadata tells. Raises UsageError, FileError,
    ModelError; a difference is in the result, whose `raise_if_different` raises VerificationError.

    `provider`: where ONNX Runtime runs: cpu, cuda, auto.
    `batches`: batch sizes, run one after another; by default the fixed one of the model, else 1.
    `data`: .npy or .npz files of images as the network takes them, or pictures; by default random images.
    `seed`, `images`: seed and number of the random images; None for as many as the largest batch.
    `tolerance`: largest difference, as a fraction of a tensor's largest value; None for 1e-4, fp16 1e-2, int8 1e-1.
    `tolerances`: tolerances of single tensors, by name.
    `provider_options`: options of the CUDA provider, such as {"device_id": "1"}.
    """
    path = require_path(model, "model")
    if network is not None:
        require_instance(network, Network, "network")
    if weights is not None and not hasattr(weights, "tensor"):
        require_instance(weights, TracedWeights, "weights")
    words = tuple(require_list(backends, "backends"))
    settings = Settings.of(provider, batches, seed, images, data, tolerance, tolerances, provider_options)
    return verify_files(Verified(fspath(path), words, network=network, weights=weights), settings)


def verify_files(verified: Verified, settings: Settings, progress: Progress = lambda done, total: None) -> Report:
    """Run the built files, and compare them tensor by tensor. Raises Failure."""
    if settings.provider_options and not _uses_cuda(verified, settings):
        message = "--provider-option is for CUDA, and no backend runs there"
        raise UsageError.of(Code.BAD_ARGUMENT, message, hint="--on onnxruntime:cuda")
    subject = _subject(verified)
    words = list(verified.backends or ("opencv" if verified.model.endswith(".prototxt") else "onnxruntime",))
    backends = [open_backend(word, subject, settings) for word in words]
    against = verified.against or (REFERENCE if len(words) == 1 else None)
    baseline = [open_backend(against, subject, settings)] if against else []
    shown = backends[0].info().file if len(backends) == 1 else subject.name
    save = (backends[0], verified.save) if verified.save else None
    preprocess = subject.network.preprocess if subject.network else None
    return compare_backends(shown, baseline + backends, settings, progress, save, preprocess)


def _uses_cuda(verified: Verified, settings: Settings) -> bool:
    return settings.provider != "cpu" or any(backend.endswith(":cuda") for backend in verified.backends)


def _subject(verified: Verified) -> Target:
    """Return the files, and their network as it was when they were built."""
    if verified.model.endswith((".onnx", ".prototxt")):
        path = Path(verified.model)
        recorded = origin.of_onnx(path) if verified.model.endswith(".onnx") else origin.of_caffe(path)
        # A name in a file is that of a bundled spec, never a path.
        network = verified.network or (
            _compiled_as(recorded.spec, recorded, verified.params) if recorded.spec in bundled() else None
        )
        return Target(
            path.name, path.with_suffix(""), _expected(network, recorded.weights, verified) if network else None
        )
    network = compile_spec(verified.model, verified.params)
    spec = network.spec
    stem = verified.output_dir / spec.name / spec.stem
    build = f"resnetgen build {verified.model} --output-dir {verified.output_dir}"
    files = {"onnx": _built_model(stem), "prototxt": stem.with_name(f"{stem.name}.prototxt")}
    read = {"onnx": origin.of_onnx, "prototxt": origin.of_caffe}
    built = {kind: read[kind](path) for kind, path in files.items() if path.is_file()}
    # Only a model stores the values of --set.
    settings = dict(built["onnx"].params if "onnx" in built else {}) | verified.params
    then = {kind: _compiled_as(verified.model, recorded, settings) for kind, recorded in built.items()}
    stale = tuple(kind for kind, one in then.items() if one is None)
    # The reference's weights are those of the file that is run, even if the other file was built with others.
    kinds = sorted(built, reverse=set(verified.backends) == {"opencv"})
    expected = next((_expected(one, built[kind].weights, verified) for kind in kinds if (one := then[kind])), None)
    return Target(
        verified.model, stem, expected or _expected(network, WeightOrigin(), verified), build, stale, files["onnx"]
    )


def _built_model(stem: Path) -> Path:
    """Return the path of a spec's ONNX model: the one in fp32, or the one of lower precision if it is the only one.

    Raises UsageError if there are several of lower precision and none in fp32.
    """
    whole = stem.with_name(f"{stem.name}.onnx")
    lowered = [path for one in Precision if (path := stem.with_name(f"{stem.name}-{one}.onnx")).is_file()]
    if whole.is_file() or not lowered:
        return whole
    if len(lowered) > 1:
        names = ", ".join(path.name for path in lowered)
        hint = f"name the model itself: resnetgen verify {lowered[0]}"
        raise UsageError.of(Code.BAD_ARGUMENT, f"{stem.parent} holds several models: {names}", hint=hint)
    return lowered[0]


def _expected(network: Network, weights: WeightOrigin, verified: Verified) -> Expected:
    return Expected(network.graph, _weights(network, weights, verified), network.names, network.spec.preprocess)


def _weights(network: Network, weights: WeightOrigin, verified: Verified) -> WeightSource:
    """Return the weights that the files should have: those of the argument, or those of their metadata."""
    if verified.weights:
        return verified.weights
    path = verified.checkpoint
    drawn = Initialised(network.graph, weights.seed, weights.init)
    if path is None:
        return Missing(weights.checkpoint) if weights.checkpoint else drawn
    read = load_pretrained(
        CheckpointSource(path, weights.reinit, allow_nonfinite=True), network.spec, network.graph, drawn
    )
    if weights.sha256 and read.sha256 != weights.sha256:
        message = f"{path} is not the checkpoint that {weights.checkpoint} was when the files were built"
        hint = f"that one's SHA-256 begins with {weights.sha256[:16]}, this one's with {read.sha256[:16]}"
        raise VerificationError.of(Code.VERIFICATION, message, hint=hint)
    return read.weights


class Missing(Struct, frozen=True):
    """Weights of a missing checkpoint: asking for any of them raises Failure."""

    name: str

    def tensor(self, node: str, parameter: str) -> Array:
        hint = f"--weights {self.name}; or compare what was built with itself: --on onnxruntime --on opencv"
        message = f"these files hold the weights of {self.name}, which the reference needs as well"
        raise VerificationError.of(Code.VERIFICATION, message, hint=hint)


def _compiled_as(word: str, origin: Origin, params: dict[str, int | float]) -> Network | None:
    """Return the spec of a file as it was at the build; None if it is missing or has changed."""
    try:
        network = compile_spec(word, dict(origin.params) | params, input_size=origin.input_size)
    except Failure:
        return None
    return network if network.digest == origin.digest else None
