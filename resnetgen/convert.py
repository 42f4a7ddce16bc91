"""Conversion of a checkpoint's weights to a caffemodel, a safetensors file or an npz file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from resnetgen.compiler import compile_spec
from resnetgen.errors import Code, Exit, fail
from resnetgen.files import Staging, staging
from resnetgen.frozen import Frozen
from resnetgen.job import accept
from resnetgen.options import Compiled, Progress
from resnetgen.pretrained import Pretrained, Source, load_pretrained, weight_namings
from resnetgen.weights import provenance
from resnetgen.weights.assign import Assigned, Naming
from resnetgen.weights.checkpoint import Checkpoint, Head, open_checkpoint, write_checkpoint
from resnetgen.weights.checkpoint.dtypes import Values
from resnetgen.weights.initialise import Initialised
from resnetgen.weights.names import load_name_map
from resnetgen.weights.source import checksum

FORMATS = {".caffemodel": "caffemodel", ".safetensors": "safetensors", ".npz": "npz"}
"""Suffix -> format to write."""


class Converted(Frozen):
    bytes: int
    sha256: str
    tensors: int
    format: str
    """Format of the file that was read."""
    source_names: str
    names: str
    warnings: tuple[str, ...]


def convert(
    source: Source,
    target: Path,
    word: str,
    settings: dict[str, int | float],
    names: str | None,
    progress: Progress,
) -> Converted:
    """Write the weights of `source` as `target`, read that back, and compare.

    Raises Failure: exit 2 for an unknown suffix or map, exit 4 if the file does not fit the spec.
    """
    if target.suffix not in FORMATS:
        hint = f"B ends in {', '.join(FORMATS)}"
        raise fail(Exit.USAGE, Code.BAD_ARGUMENT, f"{target}: no such format can be written", hint=hint)
    compiled = compile_spec(word, settings)
    read = load_pretrained(source, compiled.spec, compiled.graph, Initialised(compiled.graph))
    warnings = read.warnings
    with staging(target.parent) as stage:
        if target.suffix == ".caffemodel":
            called = _write_caffemodel(stage, target.name, compiled, read, progress)
        else:
            naming = _naming(names, read, compiled)
            called = naming.shown
            warnings += _of_target(naming, read.naming, compiled)
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


def _write_caffemodel(stage: Staging, name: str, compiled: Compiled, read: Pretrained, progress: Progress) -> str:
    """Write a caffemodel; return the shown name of the naming of its layers."""
    from resnetgen.targets.caffe import emit, validate

    planned = emit.plan(compiled.graph, compiled.names, None, with_weights=True)
    with progress.task(name, planned.payload) as advance:
        checksums = emit.write_caffemodel(planned, read.weights, stage.path(name), advance, stage.create)
    accept(name, validate.validate_caffemodel(stage.path(name), planned, checksums))
    return Naming(compiled.spec.names.text if compiled.spec.names else None, {}).shown


def _naming(names: str | None, read: Pretrained, compiled: Compiled) -> Naming:
    """Return the naming that is asked for, else the file's own; that of a caffemodel names layers, not weights. Raises
    Failure (exit 2) for an unknown one."""
    own = {naming.world: naming for naming in weight_namings(compiled.spec, compiled.graph)}
    if names is None:
        return own.get(read.naming.world, own[None])
    wanted = None if names == "paths" else names
    if wanted not in own:
        hint = f"one of {', '.join(world or 'paths' for world in own)}"
        raise fail(Exit.USAGE, Code.NAME_MAP, f"--names: {compiled.spec.name} has no {names} names", hint=hint)
    return own[wanted]


def _of_target(naming: Naming, source: Naming, compiled: Compiled) -> tuple[str, ...]:
    """Return the warnings for the library whose names are written: it loads the weights into its own network."""
    if naming.world is None or naming.world == source.world:
        return ()
    color = compiled.spec.preprocess.color.value if compiled.spec.preprocess else None
    return tuple(
        provenance.warnings(compiled.graph, color, load_name_map(naming.world), naming.world, provenance.LOADED)
    )


def _write_tensors(stage: Staging, name: str, format: str, naming: Naming, weights: Assigned) -> None:
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
    accept(name, lines + [f"{one} was not written" for one in checksums.keys() ^ written.entries.keys()])


def _sum(checkpoint: Checkpoint, name: str) -> int:
    return checksum(checkpoint.array(name)) if name in checkpoint.entries else -1
