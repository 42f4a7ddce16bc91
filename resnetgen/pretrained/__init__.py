"""Weights of a checkpoint for a network spec: their names, mismatches, and differences that no shape reveals."""
