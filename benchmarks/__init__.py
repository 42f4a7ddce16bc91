"""What resnetgen costs, as ratios to peers that run in turn with it: python -m benchmarks."""
