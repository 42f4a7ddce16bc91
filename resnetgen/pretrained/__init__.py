"""Weights of a checkpoint for a compiled spec: what they are called, what does not fit, and what no shape tells."""

from resnetgen.pretrained.load import Pretrained, Source, load_pretrained, weight_namings

__all__ = ["Pretrained", "Source", "load_pretrained", "weight_namings"]
