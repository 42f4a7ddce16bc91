"""Runs a model on ONNX Runtime and on onnx's reference evaluator, and compares: python plain_verify.py MODEL.onnx."""

import sys

import numpy as np
import onnxruntime
from onnx.reference import ReferenceEvaluator

path = sys.argv[1]
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name: np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)}
(found,), (wanted,) = session.run(None, feed), ReferenceEvaluator(path).run(None, feed)
error = np.abs(found - wanted).max() / np.abs(wanted).max()
sys.exit(f"they differ by {error:.1e}" if error > 1e-4 else 0)
