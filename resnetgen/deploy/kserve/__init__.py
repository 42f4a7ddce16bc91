"""KServe: a model repository for Triton, and the manifest with which Kubernetes runs and scales Triton on it."""
