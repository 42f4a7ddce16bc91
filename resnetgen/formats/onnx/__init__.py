"""The ONNX format: a model file with its weights streamed into it, or in a file next to it above 2 GB."""
