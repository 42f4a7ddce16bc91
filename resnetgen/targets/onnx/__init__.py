"""ONNX: a model file whose weights are streamed into it, or stand beside it past 2 GB."""
