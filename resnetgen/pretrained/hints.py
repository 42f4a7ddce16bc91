"""Hints for a checkpoint that does not fit: another bundled spec that it fits, or a prefix of all its names."""

from __future__ import annotations

from collections.abc import Sequence

from resnetgen.errors import Failure
from resnetgen.expand import expand
from resnetgen.spec.find import find_spec
from resnetgen.spec.load import load_file
from resnetgen.spec.table import Spec
from resnetgen.weights.assign import Naming, assign
from resnetgen.weights.checkpoint import Checkpoint
from resnetgen.weights.initialise import Initialised
from resnetgen.weights.names import load_name_map, weight_names


def other_spec(checkpoint: Checkpoint, naming: Naming, spec: Spec) -> str:
    """Return a hint at the bundled spec of this network from the library whose names a file has, if the file fits that
    one."""
    word = f"{naming.convention}/{spec.stem}"
    if naming.convention is None or spec.name == word:
        return ""
    try:
        graph = expand(load_file(find_spec(word)))
        names = Naming(naming.convention, weight_names(graph, load_name_map(naming.convention)))
        assign(checkpoint, graph, names, Initialised(graph))
    except Failure:
        return ""
    return f"it fits the bundled spec {word}, {naming.convention}'s own network: build that"


def prefix(checkpoint: Checkpoint, namings: Sequence[Naming]) -> str:
    """Return a hint at a prefix of all names, such as that of a module that the network was a part of."""
    names = [*checkpoint.tensors]
    first = names[0].partition(".")[0] + "."
    if not all(name.startswith(first) for name in names):
        return ""
    bare = [name.removeprefix(first) for name in names]
    if max(naming.matches(bare) for naming in namings) <= len(bare) // 2:
        return ""
    return f"all its names begin with {first!r}: save its tensors under their names without it"
