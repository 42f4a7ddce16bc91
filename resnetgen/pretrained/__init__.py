"""Weights of a checkpoint for a network spec: their names, mismatches, and differences that no shape reveals."""

from resnetgen.pretrained.pretrained import CheckpointSource, Pretrained, load_pretrained, weight_namings

__all__ = ["CheckpointSource", "Pretrained", "load_pretrained", "weight_namings"]
