"""A small network for the tests of deploy."""

from __future__ import annotations

from pathlib import Path

TINY = """\
use: std
input: 3x16x16
params: {classes: 4}
preprocess: {color: rgb, divide: 255, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], resize: 18, crop: 16x16}
stages:
  conv1: 16x16 | 3x3, 4
  head:  1x1   | gap | fc $classes | softmax
"""

PLAIN = """\
use: std
input: 3x16x16
params: {classes: 4}
stages:
  conv1: 16x16 | 3x3, 4
  head:  1x1   | gap | fc $classes | softmax
"""
"""The same without preprocessing."""
TRITON = ("deploy", "tiny.yaml", "--server", "triton", "-o", "repository")
MODEL = Path("repository/tiny")
KSERVE = ("deploy", "tiny.yaml", "--server", "kserve", "-o", "served", "--storage-uri", "s3://models/tiny")
MANIFEST = Path("served/inferenceservice.yaml")
