"""Weights: reading, drawing and writing them, and the names of other libraries for them."""
