"""Every parser of the package, by name."""

from __future__ import annotations

from ..target import Target
from .checkpoints import CHECKPOINTS
from .networks import NETWORKS
from .specs import SPECS
from .texts import TEXTS

TARGETS: dict[str, Target] = {target.name: target for target in (*SPECS, *NETWORKS, *CHECKPOINTS, *TEXTS)}
