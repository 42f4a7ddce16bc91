"""Rewrites of the graph, one a file, named by its verb; each returns a new graph and the weights that fit it."""
