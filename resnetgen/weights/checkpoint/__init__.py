"""Weight files of five worlds, read tensor by tensor: what they hold is known before any of it is in memory.

Nothing here knows a graph, a spec or a target; a file is a list of named tensors. A file is told by its content, never
by its suffix, and is not trusted: every size is checked against the file before memory is taken for it.
"""

from resnetgen.weights.checkpoint.entry import Checkpoint, Entry
from resnetgen.weights.checkpoint.open import open_checkpoint
from resnetgen.weights.checkpoint.write import Head, write_checkpoint, write_npz, write_safetensors

__all__ = [
    "Checkpoint",
    "Entry",
    "Head",
    "open_checkpoint",
    "write_checkpoint",
    "write_npz",
    "write_safetensors",
]
