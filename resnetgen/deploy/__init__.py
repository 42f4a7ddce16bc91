"""Deployment of a spec: a model repository for Triton, the same with a manifest for KServe, or a folder for ONNX
Runtime."""
