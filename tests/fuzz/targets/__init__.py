"""Every parser of the package, and every command, by name."""

from __future__ import annotations

from fuzz.target import Target
from fuzz.targets.checkpoints import CHECKPOINTS
from fuzz.targets.commands import COMMANDS
from fuzz.targets.images import IMAGES
from fuzz.targets.networks import NETWORKS
from fuzz.targets.specs import SPECS
from fuzz.targets.structures import STRUCTURES
from fuzz.targets.texts import TEXTS

PARSERS = (*SPECS, *NETWORKS, *CHECKPOINTS, *STRUCTURES, *IMAGES, *TEXTS)
TARGETS: dict[str, Target] = {target.name: target for target in (*PARSERS, *COMMANDS)}
