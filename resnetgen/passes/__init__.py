"""Rewrites of the graph, one file per pass, named by its verb; each returns a new graph and the weights that fit it."""
