"""Readers of five weight file formats: the list of tensors is read first, the values only when asked for.

This package knows no graph, spec or target; a file is a list of named tensors. The format is told by the content, never
by the suffix. Files are not trusted: every size is checked against the file before memory is allocated for it.
"""

from resnetgen.weights.checkpoint.contents import Checkpoint, TensorInfo
from resnetgen.weights.checkpoint.open import open_checkpoint
from resnetgen.weights.checkpoint.write import Head, write_checkpoint, write_npz, write_safetensors

__all__ = [
    "Checkpoint",
    "Head",
    "TensorInfo",
    "open_checkpoint",
    "write_checkpoint",
    "write_npz",
    "write_safetensors",
]
