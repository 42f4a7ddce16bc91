"""From a spec to what a server loads: a model repository for Triton, or a folder for ONNX Runtime."""
