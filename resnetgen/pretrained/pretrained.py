"""Loading of a checkpoint for a network spec: names, mismatches, and warnings of differences that no shape reveals."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from resnetgen.errors import Code, Failure, ModelError, UsageError, did_you_mean
from resnetgen.escape import escape
from resnetgen.ir.graph import Graph
from resnetgen.paths import NAME_MAPS
from resnetgen.pretrained.hints import other_spec, prefix
from resnetgen.spec.table import Spec
from resnetgen.weights.assign import AssignedWeights, Naming, assign, closest
from resnetgen.weights.checkpoint import Checkpoint, open_checkpoint
from resnetgen.weights.names import load_name_map, weight_names
from resnetgen.weights.provenance import warnings
from resnetgen.weights.source import WeightSource

_MAX_REASON = 500
"""Limit in characters of a reason, which may quote a file."""
_LISTED = 3
"""Number of layers with another structure that are listed; the rest are counted."""


class CheckpointSource(Struct, frozen=True):
    """Checkpoint for a build, and its options."""

    path: Path
    reinit: tuple[str, ...] = ()
    """Stages whose weights are drawn anew."""
    allow_nonfinite: bool = False


class Pretrained(Struct, frozen=True, dict=True):
    weights: AssignedWeights
    naming: Naming
    warnings: tuple[str, ...] = ()

    def hash_ahead(self) -> None:
        """Start to hash the file in another thread."""
        _ = self._digest

    def late_origin(self) -> dict[str, str]:
        """Return the metadata that is known when the file has been read whole."""
        return {"resnetgen.weights_sha256": self.sha256}

    @property
    def sha256(self) -> str:
        """SHA-256 of the checkpoint's file."""
        return self._digest.result()

    @cached_property
    def _digest(self) -> Future[str]:
        pool = ThreadPoolExecutor(1)
        digest = pool.submit(self.weights.checkpoint.checksum)
        pool.shutdown(wait=False)
        return digest


def load_pretrained(source: CheckpointSource, spec: Spec, graph: Graph, fresh: WeightSource) -> Pretrained:
    """Load a checkpoint. Raises Failure: exit 4 if the file is damaged or does not fit, exit 2 for an unknown stage."""
    stages = {stage for node in graph.nodes if (stage := node.path.stage) is not None}
    for stage in source.reinit:
        if stage not in stages:
            hint = did_you_mean(stage, stages)
            raise UsageError.of(Code.BAD_NAME, f"--reinit: there is no stage {stage!r}", hint=hint)
    checkpoint = open_checkpoint(source.path)
    namings = _namings(checkpoint, spec, graph)
    naming = closest(namings, checkpoint)

    def is_drawn(node: str) -> bool:
        return graph[node].path.stage in source.reinit

    try:
        weights = assign(checkpoint, graph, naming, fresh, is_drawn, source.allow_nonfinite)
    except Failure as failure:
        hint = other_spec(checkpoint, naming, spec) or prefix(checkpoint, namings)
        problems = tuple(replace(one, hint=hint or one.hint) for one in failure.problems)
        raise type(failure)(problems) from None
    return Pretrained(weights, naming, tuple(_warnings(checkpoint, naming, spec, graph, frozenset(source.reinit))))


def weight_namings(spec: Spec, graph: Graph) -> list[Naming]:
    """Return the possible names of the weights: the paths of nodes, then each map that has a name for all of them."""
    paths = {f"{node.name}.{p.name}": (node.name, p.name) for node in graph.nodes for p in graph.parameters(node)}
    namings = [Naming(None, paths)]
    for name in _maps(spec):
        names = load_name_map(name)
        if names.parameters:
            with suppress(Failure):
                namings.append(Naming(name, weight_names(graph, names)))
    return namings


def _namings(checkpoint: Checkpoint, spec: Spec, graph: Graph) -> list[Naming]:
    """Return every naming that a file of this format may have; maps that lack a name are left out."""
    if checkpoint.format != "caffemodel":
        own, *others = weight_namings(spec, graph)
        return [replace(own, fixed=_onnx_constants(spec, graph)) if checkpoint.format == "onnx" else own, *others]
    from resnetgen.formats.caffe.blobs import blob_naming

    namings = []
    for name in dict.fromkeys((spec.names.text if spec.names else None, None, *_maps(spec))):
        with suppress(Failure):
            namings.append(blob_naming(graph, name))
    return namings


def _onnx_constants(spec: Spec, graph: Graph) -> frozenset[str]:
    """Return the names of the constants among the initializers of a model of resnetgen; opset 20 has the most."""
    from resnetgen.formats.onnx.lower import Lowered, Names

    return frozenset(Lowered(graph, 20, Names(), None, spec.preprocess).constants)


def _maps(spec: Spec) -> list[str]:
    """Return all maps: that of the spec's family first, and each map before those that extend it."""
    family = spec.name.partition("/")[0]
    names = sorted(path.stem for path in NAME_MAPS.glob("*.yaml"))
    return sorted(names, key=lambda name: (name != family, len(load_name_map(name).rules)))


def _warnings(checkpoint: Checkpoint, naming: Naming, spec: Spec, graph: Graph, drawn: frozenset[str]) -> Iterator[str]:
    """Yield warnings of differences that no shape reveals: conventions of a library, and the structure of the file."""
    if naming.convention and checkpoint.format != "caffemodel":
        color = spec.preprocess.color.value if spec.preprocess else None
        yield from warnings(graph, color, load_name_map(naming.convention), naming.convention)
    try:
        lines = _structure_differences(checkpoint, naming, spec, graph, drawn)
        yield from lines[:_LISTED]
        if len(lines) > _LISTED:
            yield f"and {len(lines) - _LISTED:,} layers more are built otherwise"
    except Failure as failure:
        why = failure.problems[0].message.removeprefix(f"{checkpoint.path}: ")
        yield f"the structure of {checkpoint.path.name} was not compared with the spec's: {escape(why, _MAX_REASON)}"


def _structure_differences(
    checkpoint: Checkpoint, naming: Naming, spec: Spec, graph: Graph, drawn: frozenset[str]
) -> list[str]:
    """Compare the layers of a caffemodel or an ONNX model with the graph; other files have no structure."""
    try:
        match checkpoint.format:
            case "caffemodel":
                from resnetgen.pretrained.caffemodel import caffemodel_differences

                return caffemodel_differences(checkpoint.path, graph, naming, drawn)
            case "onnx":
                from resnetgen.pretrained.onnx import onnx_differences

                return onnx_differences(checkpoint.path, graph, naming, drawn, spec.preprocess)
            case _:
                return []
    except UnicodeDecodeError:  # protobuf returns such a text as bytes, and then does not accept them
        raise ModelError.of(Code.BAD_MODEL, "a name is not UTF-8 text") from None
