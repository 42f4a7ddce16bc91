"""KServe: the repository that Triton loads, and the manifest by which Kubernetes runs and scales Triton on it."""
