"""What resnetgen costs, as ratios to peers that run in turn with it: python -m benchmarks."""

import os

# ONNX Runtime 1.31 reports its use to its maker unless it is told not to, before it is loaded: neither side shall.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
