"""Conversion of a checkpoint's weights to a caffemodel, a safetensors file or an npz file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from resnetgen.errors import Code, UsageError
from resnetgen.formats.readback import require_equal
from resnetgen.network import Network, compile_spec
from resnetgen.pretrained.pretrained import CheckpointSource, Pretrained, load_pretrained, weight_namings
from resnetgen.progress import Progress
from resnetgen.staging.files import Staging, staging
from resnetgen.weights import provenance
from resnetgen.weights.assign import AssignedWeights, Naming
from resnetgen.weights.checkpoint import Checkpoint, Head, open_checkpoint, write_checkpoint
from resnetgen.weights.initialise import Initialised
from resnetgen.weights.names import load_name_map
from resnetgen.weights.source import checksum
from resnetgen.wire.dtypes import Values

FORMATS = {".caffemodel": "caffemodel", ".safetensors": "safetensors", ".npz": "npz"}
"""Suffix -> format to write."""


class Converted(Struct, frozen=True):
    bytes: int
    sha256: str
    tensors: int
    format: str
    """Format of the file that was read."""
    source_names: str
    names: str
    warnings: tuple[str, ...]


def convert(
    source: CheckpointSource,
    target: Path,
    spec: str,
    params: dict[str, int | float],
    names: str | None,
    progress: Progress,
) -> Converted:
    """Write the weights of `source` as `target`, read that back, and compare.

    Raises Failure: exit 2 for an unknown suffix or map, exit 4 if the file does not fit the spec.
    """
    if target.suffix not in FORMATS:
        hint = f"use a name that ends in {', '.join(FORMATS)}"
        raise UsageError.of(Code.BAD_ARGUMENT, f"{target}: weights are not written in this format", hint=hint)
    network = compile_spec(spec, params)
    read = load_pretrained(source, network.spec, network.graph, Initialised(network.graph))
    warnings = read.warnings
    with staging(target.parent) as stage:
        if target.suffix == ".caffemodel":
            called = _write_caffemodel(stage, target.name, network, read, progress)
        else:
            naming = _naming(names, read, network)
            called = naming.shown
            warnings += _of_target(naming, read.naming, network)
            with progress.task(target.name, 0):
                _write_tensors(stage, target.name, FORMATS[target.suffix], naming, read.weights)
        output = stage.outputs[target.name]
        stage.publish()
    return Converted(
        bytes=output.size,
        sha256=output.sha256,
        tensors=len(read.weights.shapes),
        format=read.weights.checkpoint.format,
        source_names=read.naming.shown,
        names=called,
        warnings=warnings,
    )


def _write_caffemodel(stage: Staging, name: str, network: Network, read: Pretrained, progress: Progress) -> str:
    """Write a caffemodel; return the shown name of the naming of its layers."""
    from resnetgen.formats.caffe import validate, write

    planned = write.plan(network.graph, network.names, None, with_weights=True)
    with progress.task(name, planned.payload) as advance:
        checksums = write.write_caffemodel(planned, read.weights, stage.path(name), advance, stage.create)
    require_equal(name, validate.validate_caffemodel(stage.path(name), planned, checksums))
    return Naming(network.spec.names.text if network.spec.names else None, {}).shown


def _naming(names: str | None, read: Pretrained, network: Network) -> Naming:
    """Return the naming that is asked for, else the file's own; that of a caffemodel names layers, not weights. Raises
    UsageError for an unknown one."""
    own = {naming.convention: naming for naming in weight_namings(network.spec, network.graph)}
    if names is None:
        return own.get(read.naming.convention, own[None])
    convention_name = None if names == "paths" else names
    if convention_name not in own:
        hint = f"one of {', '.join(convention or 'paths' for convention in own)}"
        raise UsageError.of(Code.NAME_MAP, f"--names: {network.spec.name} has no {names} names", hint=hint)
    return own[convention_name]


def _of_target(naming: Naming, source: Naming, network: Network) -> tuple[str, ...]:
    """Return the warnings for the library whose names are written: it loads the weights into its own network."""
    if naming.convention is None or naming.convention == source.convention:
        return ()
    color = network.spec.preprocess.color.value if network.spec.preprocess else None
    return tuple(
        provenance.warnings(
            network.graph, color, load_name_map(naming.convention), naming.convention, provenance.LOADED
        )
    )


def _write_tensors(stage: Staging, name: str, format: str, naming: Naming, weights: AssignedWeights) -> None:
    """Write the tensors. Values keep their type; drawn ones are float32."""
    checksums: dict[str, int] = {}

    def tensors() -> Iterator[tuple[str, Values]]:
        for called, key in naming.names.items():
            values = weights.stored(*key)
            checksums[called] = checksum(values)
            yield called, values

    heads = {called: Head(weights.dtype(*key), weights.shapes[key]) for called, key in naming.names.items()}
    write_checkpoint(stage.path(name), format, heads, tensors(), stage.create)
    written = open_checkpoint(stage.path(name))
    lines = [f"the weight {called} has changed" for called in checksums if _sum(written, called) != checksums[called]]
    require_equal(name, lines + [f"{one} was not written" for one in checksums.keys() ^ written.tensors.keys()])


def _sum(checkpoint: Checkpoint, name: str) -> int:
    return checksum(checkpoint.array(name)) if name in checkpoint.tensors else -1
